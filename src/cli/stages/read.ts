import { openModel, type Stage } from '../stage';
import { figure, textFacts, textFindings, textTable } from '../textTable';

export const read: Stage = {
  name: 'read',
  summary: 'What is in a model file: inputs, outputs, layers, parameters, multiply-accumulates',
  positionals: ['FILE'],
  options: {},
  async run(args, services) {
    const { format, formatTitle, producer, inputs, outputs, layers, parameters, macs, findings } = await openModel(args, services);
    const json = {
      format, producer, inputs, outputs,
      layers: layers.map(({ name, type, outputShape, parameters: own, macs: ownMacs }) => ({ name, type, outputShape, parameters: own, macs: ownMacs })),
      parameters, macs, findings,
    };
    return {
      json,
      text: () => [
        textFacts([
          ['format', formatTitle], ['producer', producer],
          ['inputs', inputs.map(described).join(', ')], ['outputs', outputs.map(described).join(', ')],
          ['parameters', figure(parameters)], ['multiply-accumulates', figure(macs)],
        ]),
        textTable(['layer', 'type', 'output', 'parameters', 'MACs'],
          layers.map((layer) => [layer.name, layer.type, shapeText(layer.outputShape), layer.parameters, layer.macs])),
        textFindings(findings),
      ].filter(Boolean).join('\n'),
    };
  },
};

function described({ name, shape, dtype }: { readonly name: string; readonly shape?: readonly (number | null)[]; readonly dtype?: string }): string {
  return `${name} ${shapeText(shape)}${dtype ? ` ${dtype}` : ''}`;
}

function shapeText(shape: readonly (number | null)[] | undefined): string {
  return shape ? `[${shape.map((dim) => dim ?? '?').join(', ')}]` : '';
}
