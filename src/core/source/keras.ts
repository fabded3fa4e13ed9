import { callsOf, sizesOf, variableName, type FoundLayer, type FrameworkReader, type SizeParameter } from './frameworkReader';
import type { Scopes } from './scopes';

/** Keras in Python: `keras`, `tf.keras` and `tf_keras`, in Sequential lists, functional calls and subclassed models. */
export const keras: FrameworkReader = {
  framework: 'keras',
  languages: ['python'],
  find: (scopes) =>
    callsOf(scopes.program).flatMap(({ call, statement }): FoundLayer[] => {
      const type = layerType(scopes.qualifiedName(call.callee), scopes);
      if (!type) return [];
      const given = scopes.argument(call, 'name');
      const written = given ? scopes.resolveFully(given) : undefined;
      const explicit = written?.kind === 'expression' && written.expression.kind === 'string' ? written.expression.value : undefined;
      const name = explicit ?? variableName(call, statement);
      return [{
        framework: 'keras',
        ...(name === undefined ? {} : { name }),
        named: explicit !== undefined,
        type,
        call,
        anchor: { start: call.callee.start, end: call.callee.end },
        sizes: sizesOf(call, parametersOf(type), scopes),
      }];
    }),
  layerOf: (qualified) => typeOf(qualified.split('.')),
  parametersOf,
};

function parametersOf(type: string): readonly SizeParameter[] {
  return Object.hasOwn(parameters, type) ? parameters[type]! : [];
}

const convolution: readonly SizeParameter[] = [['width', 'filters', 0], ['groups', 'groups']];
const separable: readonly SizeParameter[] = [['width', 'filters', 0]];
const units: readonly SizeParameter[] = [['width', 'units', 0]];

const parameters: Readonly<Record<string, readonly SizeParameter[]>> = {
  Conv1D: convolution, Conv2D: convolution, Conv3D: convolution,
  Convolution1D: convolution, Convolution2D: convolution, Convolution3D: convolution,
  Conv1DTranspose: separable, Conv2DTranspose: separable, Conv3DTranspose: separable,
  SeparableConv1D: separable, SeparableConv2D: separable,
  Dense: units, LSTM: units, GRU: units, SimpleRNN: units,
  Embedding: [['width', 'output_dim', 1]],
  MultiHeadAttention: [['width', 'num_heads', 0]],
};

const roots = new Set(['keras', 'tensorflow', 'tf', 'tf_keras', 'layers']);
const notLayers = new Set(['Input', 'InputLayer', 'InputSpec', 'Layer']);

/** 'Conv2D' of 'keras.layers.Conv2D'; undefined for what is no layer of Keras. */
function layerType(qualified: string | undefined, scopes: Scopes): string | undefined {
  if (qualified === undefined) return undefined;
  const segments = qualified.split('.');
  const type = segments.at(-1) ?? '';
  if (!isClassName(type) || notLayers.has(type)) return undefined;
  if (segments.length === 1) return scopes.program.starImports.some((module) => isLayersModule(module.split('.'))) ? type : undefined;
  return typeOf(segments);
}

function typeOf(segments: readonly string[]): string | undefined {
  const type = segments.at(-1) ?? '';
  return isClassName(type) && !notLayers.has(type) && isLayersModule(segments.slice(0, -1)) ? type : undefined;
}

function isLayersModule(segments: readonly string[]): boolean {
  return roots.has(segments[0] ?? '') && segments.includes('layers');
}

function isClassName(name: string): boolean {
  const first = name[0] ?? '';
  return first !== first.toLowerCase();
}
