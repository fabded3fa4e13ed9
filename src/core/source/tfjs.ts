import { callsOf, variableName, type FoundLayer, type FrameworkReader, type SizeParameter } from './frameworkReader';
import type { CallNode, Expression } from './program';
import type { Scopes } from './scopes';

/** TensorFlow.js, layers API: each layer takes one object with its sizes and its name. */
export const tfjs: FrameworkReader = {
  framework: 'tfjs',
  languages: ['javascript', 'typescript', 'tsx'],
  find: (scopes) =>
    callsOf(scopes.program).flatMap(({ call, statement }): FoundLayer[] => {
      const type = layerType(scopes.qualifiedName(call.callee));
      if (!type) return [];
      const explicit = stringEntry(call, 'name', scopes);
      const name = explicit ?? variableName(call, statement);
      const sizes = parametersOf(type);
      return [{
        framework: 'tfjs',
        ...(name === undefined ? {} : { name }),
        named: explicit !== undefined,
        type: `tf.layers.${type}`,
        call,
        anchor: { start: call.callee.start, end: call.callee.end },
        sizes: sizes.flatMap(([role, argument]) => {
          const expression = option(call, argument, scopes);
          return expression ? [{ role, argument, expression }] : [];
        }),
      }];
    }),
  layerOf: layerType,
  parametersOf,
};

function parametersOf(type: string): readonly SizeParameter[] {
  return Object.hasOwn(parameters, type) ? parameters[type]! : [];
}

const filters: readonly SizeParameter[] = [['width', 'filters']];
const units: readonly SizeParameter[] = [['width', 'units']];

const parameters: Readonly<Record<string, readonly SizeParameter[]>> = {
  conv1d: filters, conv2d: filters, conv3d: filters, conv2dTranspose: filters, conv3dTranspose: filters, separableConv2d: filters,
  dense: units, lstm: units, gru: units, simpleRNN: units, lstmCell: units, gruCell: units, simpleRNNCell: units,
  embedding: [['width', 'outputDim']],
};

const notLayers = new Set(['input', 'inputLayer', 'Layer', 'RNN', 'RNNCell']);

/** 'conv2d' of '@tensorflow/tfjs.layers.conv2d' or of a global `tf.layers.conv2d`. */
function layerType(qualified: string | undefined): string | undefined {
  const segments = qualified?.split('.') ?? [];
  const [root, folder, type] = segments;
  if (segments.length !== 3 || !root || !type || folder !== 'layers' || notLayers.has(type)) return undefined;
  return root === 'tf' || root.startsWith('@tensorflow/tfjs') ? type : undefined;
}

function option(call: CallNode, key: string, scopes: Scopes): Expression | undefined {
  const first = call.arguments[0]?.value;
  const resolved = first ? scopes.resolveFully(first) : undefined;
  return resolved?.kind === 'expression' ? scopes.entry(resolved.expression, key) : undefined;
}

function stringEntry(call: CallNode, key: string, scopes: Scopes): string | undefined {
  const written = option(call, key, scopes);
  const resolved = written ? scopes.resolveFully(written) : undefined;
  return resolved?.kind === 'expression' && resolved.expression.kind === 'string' ? resolved.expression.value : undefined;
}
