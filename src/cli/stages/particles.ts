import { openModel, type Stage } from '../stage';
import { figure, textTable } from '../textTable';

export const particles: Stage = {
  name: 'particles',
  summary: 'The particles of each layer: kernels, neurons, units, heads, factors',
  positionals: ['FILE'],
  options: {},
  async run(args, services) {
    const { layers, particleCount } = await openModel(args, services);
    const found = layers.flatMap(({ name, particles: own, note }) => (own ? [{ name, kind: own.kind, count: own.count, note }] : []));
    return {
      json: { layers: found, total: particleCount },
      text: () => `${textTable(['layer', 'particles', 'kind', 'not removable because'], found.map(({ name, kind, count, note }) => [name, count, kind, note]))}total ${figure(particleCount)}\n`,
    };
  },
};
