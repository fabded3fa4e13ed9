import type { Tensor } from '../graph/tensor';
import type { FlatTable } from './containers/flatbuffers';
import { viewWeight } from './keras/weightView';
import type { TfAttribute } from './tensorflow/tfGraph';
import type { LiteTensor } from './tfliteGraph';

/** How an operator of TensorFlow Lite is said in TensorFlow. */
export interface LiteOperator {
  add(target: LiteTarget): void;
}

/** One operator, and the TensorFlow graph that it is added to. */
export interface LiteTarget {
  /** Of the node that gives its outputs. */
  readonly name: string;
  readonly options: FlatTable | undefined;
  /** Tensors by number; -1 is an absent optional one. */
  readonly inputs: readonly number[];
  tensor(index: number): LiteTensor;
  ref(index: number): string;
  constant(hint: string, tensor: Tensor): string;
  ints(hint: string, values: readonly number[], shape?: readonly number[]): string;
  /** Adds a node, called like the operator unless it has a name of its own. */
  node(op: string, inputs: readonly string[], attributes?: Readonly<Record<string, TfAttribute>>, name?: string): string;
}

export function operatorOf(code: number, custom: string): LiteOperator {
  const add = operators[code];
  return { add: add ?? ((target) => plain(code === 32 ? custom || 'Custom' : `TFLite${code}`)(target)) };
}

type Add = (target: LiteTarget) => void;

/** The same operator with the same inputs; attributes from the options, and perhaps an activation behind it. */
function plain(op: string, attributes?: (options: FlatTable | undefined) => Record<string, TfAttribute>, activationField?: number): Add {
  return (target) => {
    const inputs = target.inputs.filter((index) => index >= 0).map((index) => target.ref(index));
    const activation = activationField === undefined ? undefined : activationOf(target.options, activationField);
    const made = target.node(op, inputs, attributes?.(target.options), activation ? `${target.name}_plain` : undefined);
    if (activation) target.node(activation, [made]);
  };
}

/** NONE, RELU, RELU_N1_TO_1, RELU6, TANH, SIGN_BIT */
const activations = [undefined, 'Relu', 'ReluN1To1', 'Relu6', 'Tanh', 'SignBit'];

function activationOf(options: FlatTable | undefined, field: number): string | undefined {
  return activations[options?.uint8(field) ?? 0];
}

const axes = (name: string, field: number) => (options: FlatTable | undefined): Record<string, TfAttribute> => ({ [name]: { int: options?.int32(field) ?? 0 } });
const keepDims = (options: FlatTable | undefined): Record<string, TfAttribute> => ({ keep_dims: { flag: (options?.uint8(0) ?? 0) !== 0 } });

/** Builtin operators by number (the schema of TensorFlow Lite, version 3). */
const operators: Readonly<Record<number, Add>> = {
  0: plain('AddV2', undefined, 0),
  1: pool('AvgPool'),
  2: concat,
  3: convolution,
  4: depthwise,
  6: plain('Identity'),
  8: plain('Floor'),
  9: fullyConnected,
  14: plain('Sigmoid'),
  17: pool('MaxPool'),
  18: plain('Mul', undefined, 0),
  19: plain('Relu'),
  21: plain('Relu6'),
  22: reshape,
  23: plain('ResizeBilinear', (options) => ({ align_corners: { flag: options?.uint8(2) === 1 }, half_pixel_centers: { flag: options?.uint8(3) === 1 } })),
  25: plain('Softmax'),
  28: plain('Tanh'),
  34: plain('Pad'),
  36: gather,
  39: plain('Transpose'),
  40: plain('Mean', keepDims),
  41: plain('Sub', undefined, 0),
  42: plain('RealDiv', undefined, 0),
  43: plain('Squeeze', (options) => ({ squeeze_dims: { ints: options?.int32s(0) ?? [] } })),
  45: plain('StridedSlice', (options) => Object.fromEntries(
    ['begin_mask', 'end_mask', 'ellipsis_mask', 'new_axis_mask', 'shrink_axis_mask'].map((name, field) => [name, { int: options?.int32(field) ?? 0 }]))),
  47: plain('Exp'),
  49: plain('Split', (options) => ({ num_split: { int: options?.int32(0) ?? 1 } })),
  50: plain('LogSoftmax'),
  53: plain('Cast', () => ({ DstT: { dtype: 'float32' } })),
  54: plain('Prelu'),
  55: plain('Maximum'),
  56: plain('ArgMax'),
  57: plain('Minimum'),
  58: plain('Less'),
  59: plain('Neg'),
  60: plain('PadV2'),
  61: plain('Greater'),
  62: plain('GreaterEqual'),
  63: plain('LessEqual'),
  65: plain('Slice'),
  66: plain('Sin'),
  67: transposed,
  69: plain('Tile'),
  70: plain('ExpandDims'),
  71: plain('Equal'),
  72: plain('NotEqual'),
  73: plain('Log'),
  74: plain('Sum', keepDims),
  75: plain('Sqrt'),
  76: plain('Rsqrt'),
  77: plain('Shape'),
  78: plain('Pow'),
  81: plain('Prod', keepDims),
  82: plain('Max', keepDims),
  83: plain('Pack', axes('axis', 1)),
  89: plain('Min', keepDims),
  92: plain('Square'),
  94: plain('Fill'),
  96: plain('Range'),
  97: plain('ResizeNearestNeighbor', (options) => ({ align_corners: { flag: options?.uint8(0) === 1 }, half_pixel_centers: { flag: options?.uint8(1) === 1 } })),
  98: plain('LeakyRelu', (options) => ({ alpha: { float: options?.float32(0) ?? 0 } })),
  99: plain('SquaredDifference'),
  100: plain('MirrorPad', (options) => ({ mode: { text: options?.uint8(0) === 1 ? 'SYMMETRIC' : 'REFLECT' } })),
  101: plain('Abs'),
  111: plain('Elu'),
  114: plain('Identity'),
  126: plain('BatchMatMulV2', (options) => ({ adj_x: { flag: options?.uint8(0) === 1 }, adj_y: { flag: options?.uint8(1) === 1 } })),
};

function window(options: FlatTable | undefined, dilationField: number | undefined): Record<string, TfAttribute> {
  const number = (field: number): number => Math.max(1, options?.int32(field, 1) ?? 1);
  return {
    padding: { text: options?.uint8(0) === 1 ? 'VALID' : 'SAME' },
    strides: { ints: [1, number(2), number(1), 1] },
    ...(dilationField !== undefined && { dilations: { ints: [1, number(dilationField + 1), number(dilationField), 1] } }),
  };
}

/** Weights [out, h, w, in] -> TensorFlow's [h, w, in, out]. */
function convolution(target: LiteTarget): void {
  weighted(target, '_FusedConv2D', 3, window(target.options, 4), (tensor) => viewWeight(tensor.name, tensor, { axes: [1, 2, 3, 0] }));
}

/** Weights [1, h, w, in * multiplier] -> TensorFlow's [h, w, in, multiplier]. */
function depthwise(target: LiteTarget): void {
  const multiplier = Math.max(1, target.options?.int32(3, 1) ?? 1);
  weighted(target, 'FusedDepthwiseConv2dNative', 4, window(target.options, 5), (tensor) => {
    const [, h = 1, w = 1, channels = 1] = tensor.shape;
    const fits = tensor.shape.length === 4 && tensor.shape[0] === 1 && channels % multiplier === 0;
    const shape = fits ? [h, w, channels / multiplier, multiplier] : tensor.shape;
    return { name: tensor.name, dtype: tensor.dtype, shape, read: async () => ({ ...await tensor.read(), shape }) };
  });
}

function weighted(target: LiteTarget, op: string, activationField: number, attributes: Record<string, TfAttribute>, view: (tensor: Tensor) => Tensor): void {
  const [x = -1, kernel = -1, bias = -1] = target.inputs;
  const { constant } = target.tensor(kernel);
  if (!constant) return void plain(`${op}Computed`)(target);
  const activation = activationOf(target.options, activationField);
  const weights = constant.shape.length === 4 ? view(constant) : constant;
  target.node(op, [target.ref(x), target.constant('kernel', weights), ...biasOf(target, bias)], {
    ...attributes, fused_ops: { texts: [...(bias >= 0 ? ['BiasAdd'] : []), ...(activation ? [activation] : [])] },
  });
}

/** Weights [out, in]. All axes but the last are one, unless it keeps them. */
function fullyConnected(target: LiteTarget): void {
  const [x = -1, kernel = -1, bias = -1] = target.inputs;
  const { constant } = target.tensor(kernel);
  if (constant?.shape.length !== 2) return void plain('FullyConnectedComputed')(target);
  const { name, options } = target;
  const activation = activationOf(options, 0);
  const biased = biasOf(target, bias);
  if ((options?.uint8(2) ?? 0) !== 0 && target.tensor(x).shape.length > 2) {
    const swapped = target.constant('kernel', viewWeight('kernel', constant, { axes: [1, 0] }));
    const steps: [string, readonly string[]][] = [['BatchMatMulV2', [target.ref(x), swapped]], ...(bias >= 0 ? [['BiasAdd', biased] as [string, readonly string[]]] : []), ...(activation ? [[activation, []] as [string, readonly string[]]] : [])];
    let made = '';
    steps.forEach(([op, more], index) => {
      made = target.node(op, index === 0 ? more : [made, ...more], {}, index === steps.length - 1 ? undefined : `${name}_${op}`);
    });
    return;
  }
  const flat = target.tensor(x).shape.length === 2 ? target.ref(x)
    : target.node('Reshape', [target.ref(x), target.ints('shape', [-1, constant.shape[1]!])], {}, `${name}_flat`);
  target.node('_FusedMatMul', [flat, target.constant('kernel', viewWeight('kernel', constant, { axes: [1, 0] })), ...biased], {
    fused_ops: { texts: [...(bias >= 0 ? ['BiasAdd'] : []), ...(activation ? [activation] : [])] },
  });
}

/** The size of the result, weights [out, h, w, in] -> TensorFlow's [h, w, out, in], the data. */
function transposed(target: LiteTarget): void {
  const [size = -1, kernel = -1, x = -1, bias = -1] = target.inputs;
  const { constant } = target.tensor(kernel);
  if (constant?.shape.length !== 4) return void plain('TransposeConvComputed')(target);
  const activation = activationOf(target.options, 3);
  const weights = target.constant('kernel', viewWeight('kernel', constant, { axes: [1, 2, 0, 3] }));
  const steps: [string, readonly string[]][] = [
    ...(bias >= 0 ? [['BiasAdd', biasOf(target, bias)] as [string, readonly string[]]] : []), ...(activation ? [[activation, []] as [string, readonly string[]]] : []),
  ];
  let made = target.node('Conv2DBackpropInput', [target.ref(size), weights, target.ref(x)], window(target.options, undefined), steps.length ? `${target.name}_plain` : undefined);
  steps.forEach(([op, more], index) => {
    made = target.node(op, [made, ...more], {}, index === steps.length - 1 ? undefined : `${target.name}_${op}`);
  });
}

/** Called bias: in the file it has the joint name of all that was fused. */
function biasOf(target: LiteTarget, bias: number): readonly string[] {
  if (bias < 0) return [];
  const { constant } = target.tensor(bias);
  return [constant ? target.constant('bias', constant) : target.ref(bias)];
}

function pool(op: string): Add {
  return (target) => {
    const { options } = target;
    const attributes = { ...window(options, undefined), ksize: { ints: [1, Math.max(1, options?.int32(4, 1) ?? 1), Math.max(1, options?.int32(3, 1) ?? 1), 1] } };
    plain(op, () => attributes, 5)(target);
  };
}

function concat(target: LiteTarget): void {
  const axis = target.ints('axis', [target.options?.int32(0) ?? 0], []);
  const activation = activationOf(target.options, 1);
  const made = target.node('ConcatV2', [...target.inputs.map((index) => target.ref(index)), axis], {}, activation ? `${target.name}_plain` : undefined);
  if (activation) target.node(activation, [made]);
}

function gather(target: LiteTarget): void {
  const [x = -1, indices = -1] = target.inputs;
  const axis = target.ints('axis', [target.options?.int32(0) ?? 0], []);
  target.node('GatherV2', [target.ref(x), target.ref(indices), axis], { batch_dims: { int: target.options?.int32(1) ?? 0 } });
}

/** The target is an input or, in older files, among the options. */
function reshape(target: LiteTarget): void {
  const [x = -1, shape = -1] = target.inputs;
  const listed = target.options?.int32s(0) ?? [-1];
  const wanted = shape >= 0 ? target.ref(shape) : target.ints('shape', listed);
  target.node('Reshape', [target.ref(x), wanted]);
}

