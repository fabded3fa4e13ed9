import { ParticlizeError } from '../../core/graph/errors';
import { dataOption, type Stage } from '../stage';

export const train: Stage = {
  name: 'train',
  summary: 'Trains the model further (not there yet)',
  positionals: ['FILE'],
  required: ['data', 'epochs', 'out'],
  options: {
    ...dataOption,
    epochs: { type: 'string', value: 'N', text: 'Times that all training samples are seen' },
    out: { type: 'string', value: 'DIR', text: 'Folder for the trained model' },
  },
  run: () => Promise.reject(new ParticlizeError({ cause: 'training is not there yet' })),
};

export const loop: Stage = {
  name: 'loop',
  summary: 'Removes, trains and evaluates until the target is met (not there yet)',
  positionals: ['FILE'],
  required: ['data', 'out'],
  options: {
    ...dataOption,
    target: { type: 'string', value: 'macs=0.5', text: 'Share of what the model costs now' },
    'max-drop': { type: 'string', value: '0.01', text: 'Largest accepted drop of the metric' },
    out: { type: 'string', value: 'DIR', text: 'Folder for the models of each round' },
  },
  run: () => Promise.reject(new ParticlizeError({ cause: 'the loop of removing and training is not there yet', action: 'Use suggest and apply' })),
};
