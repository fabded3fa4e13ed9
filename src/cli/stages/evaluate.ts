import { dataOption, openModel, recipePath, samplesOption, whole, type Stage } from '../stage';
import { textFacts } from '../textTable';

export const evaluate: Stage = {
  name: 'evaluate',
  summary: 'How good and how costly the model is',
  positionals: ['FILE'],
  required: ['data'],
  options: { ...dataOption, ...samplesOption },
  async run(args, services) {
    const { model } = await openModel(args, services);
    const result = await services.sessions.evaluate({ model, recipe: recipePath(args), samples: whole(args, 'samples', 1) }, services.task);
    return {
      json: result,
      text: () => textFacts([
        ['loss', result.loss], ...Object.entries(result.metrics), ['samples', result.samples], ['parameters', result.parameters],
        ['multiply-accumulates', result.macs], ['bytes of weights', result.bytes], ['engine', result.engine],
      ]),
    };
  },
};
