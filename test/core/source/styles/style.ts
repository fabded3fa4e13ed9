import type { LinkableLayer } from '../../../../src/core/source/linkDefinitions';
import type { Language } from '../../../../src/core/source/syntaxTree';
import type { ShapeChange } from '../../../../src/core/optimise/plan';

/** One way to write a model, with what has to be found in it and what pruning makes of it. */
export interface Style {
  readonly name: string;
  readonly language: Language;
  readonly code: string;
  /** Evaluated after the code has run: the model. */
  readonly build: string;
  /** One sample, without the batch. */
  readonly input: readonly number[];
  /** The model's layers with weights, in order: 'conv1:conv:1>16 bn1:norm:16 dense1:dense:512>64'. Convolutions are 3 wide. */
  readonly model: string;
  /** Layers to prune, with the widths that remain. */
  readonly prune: Readonly<Record<string, number>>;
  /** Layers with sizes: 'conv1 Conv2D filters=16'; 'in_features=w * 16:512' is an expression and its value, '!' one without a literal. */
  readonly definitions: readonly string[];
  /** What changes in the text: each first part stands in it once. */
  readonly edits: readonly (readonly [before: string, after: string])[];
  /** Parts of the reasons for what is left to do by hand. */
  readonly manual?: readonly string[];
  /** Whether the edited code is the pruned model; not when something is left to do by hand. */
  readonly runs?: boolean;
}

interface ChainLayer {
  readonly name: string;
  readonly kind: string;
  readonly input: number;
  readonly width: number;
}

/** Axes of the framework's weights: PyTorch keeps the output channels first, Keras and TensorFlow.js last. */
export type Layout = 'first' | 'last';

export function layoutOf(code: string): Layout {
  return code.includes('torch') ? 'first' : 'last';
}

export function layersOf(model: string, layout: Layout): LinkableLayer[] {
  return parseModel(model).map((layer) => ({
    name: layer.name,
    type: typeOf(layer.kind, layout),
    ...(layer.kind === 'norm' || layer.kind === 'depthwise' ? {} : { width: layer.width }),
    tensors: shapesOf(layer, layout).map((shape) => ({ shape })),
  }));
}

/** Shapes of all weights, layer by layer, after pruning. */
export function prunedShapes(model: string, prune: Style['prune'], layout: Layout): number[][][] {
  return prunedChain(parseModel(model), prune).map((layer) => shapesOf(layer, layout));
}

/** What surgery says of a chain of layers in which each layer's input is the one before. */
export function changesOf(model: string, prune: Style['prune'], layout: Layout): ShapeChange[] {
  const before = parseModel(model);
  const after = prunedChain(before, prune);
  return before.flatMap((old, index): ShapeChange[] => {
    const now = after[index]!;
    if (old.width === now.width && old.input === now.input) return [];
    const shapes = [shapesOf(old, layout), shapesOf(now, layout)] as const;
    const norm = old.kind === 'norm';
    return [{
      layer: old.name,
      type: typeOf(old.kind, layout),
      tensors: shapes[0].flatMap((shape, i) => (String(shape) === String(shapes[1][i]) ? [] : [{ name: `${old.name}.${i}`, before: shape, after: shapes[1][i]! }])),
      ...(norm ? {} : { width: { before: old.width, after: now.width }, inputWidth: { before: old.input, after: now.input } }),
    }];
  });
}

function parseModel(model: string): ChainLayer[] {
  return model.split(' ').map((word) => {
    const [name = '', kind = '', sizes = ''] = word.split(':');
    const [input = 0, width = input] = sizes.split('>').map(Number);
    return { name, kind, input, width };
  });
}

function prunedChain(layers: readonly ChainLayer[], prune: Style['prune']): ChainLayer[] {
  let [before, after] = [0, 0];
  return layers.map((layer, index) => {
    // Flattening multiplies the channels by the size of the picture.
    const input = index === 0 ? layer.input : (layer.input / before) * after;
    const follows = layer.kind === 'norm' || layer.kind === 'depthwise';
    const width = follows ? input : (prune[layer.name] ?? layer.width);
    [before, after] = [layer.width, width];
    return { ...layer, input, width };
  });
}

function typeOf(kind: string, layout: Layout): string {
  const torch = layout === 'first';
  switch (kind) {
    case 'conv': return torch ? 'Conv' : 'Conv2D';
    case 'depthwise': return torch ? 'Conv' : 'DepthwiseConv2D';
    case 'dense': return torch ? 'Gemm' : 'Dense';
    case 'norm': return torch ? 'BatchNormalization' : 'BatchNormalization';
    default: throw new Error(`no such kind: ${kind}`);
  }
}

function shapesOf({ kind, input, width }: ChainLayer, layout: Layout): number[][] {
  const first = layout === 'first';
  switch (kind) {
    case 'conv': return [first ? [width, input, 3, 3] : [3, 3, input, width], [width]];
    case 'depthwise': return [first ? [width, 1, 3, 3] : [3, 3, input, 1], [width]];
    case 'dense': return [first ? [width, input] : [input, width], [width]];
    default: return [[width], [width], [width], [width]];
  }
}
