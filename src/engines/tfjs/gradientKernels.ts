import type * as Tf from '@tensorflow/tfjs-core';
import { equationOf } from '../../core/graph/ops/einsum';
import { einsumOf } from './lowerings/einsum';
import type { TfModule } from './value';

/**
 * The kernels that TensorFlow.js's WebAssembly backend lacks, so that its own differentiation trains convolutions, depthwise
 * convolutions, embeddings and einsum there. Each is composed of kernels that are there; a filter gradient is one product of
 * matrices for each tap of the filter, over a strided slice of the padded input.
 */
export function registerGradientKernels(tf: TfModule): void {
  const kernels: Readonly<Record<string, Kernel>> = {
    Conv2DBackpropFilter: convolutionFilter,
    DepthwiseConv2dNativeBackpropFilter: depthwiseFilter,
    DepthwiseConv2dNativeBackpropInput: depthwiseInput,
    UnsortedSegmentSum: segmentSum,
    Einsum: einsum,
  };
  for (const [kernelName, kernel] of Object.entries(kernels)) {
    if (tf.getKernel(kernelName, 'wasm')) continue;
    tf.registerKernel({
      kernelName, backendName: 'wasm',
      kernelFunc: ({ inputs, attrs }) => tf.tidy(() => kernel(tf, inputs as unknown as Inputs, (attrs ?? {}) as Attributes)),
    });
  }
}

type Inputs = Readonly<Record<string, Tf.Tensor>>;
type Attributes = Readonly<Record<string, unknown>>;
type Kernel = (tf: TfModule, inputs: Inputs, attributes: Attributes) => Tf.Tensor;
type ConvInfo = ReturnType<TfModule['backend_util']['computeConv2DInfo']>;

/** x [N, H, W, C], dy [N, OH, OW, O] -> [KH, KW, C, O] */
function convolutionFilter(tf: TfModule, { x, dy }: Inputs, attributes: Attributes): Tf.Tensor {
  const first = attributes.dataFormat === 'NCHW';
  const input = (first ? tf.transpose(x!, [0, 2, 3, 1]) : x!) as Tf.Tensor4D;
  const upstream = first ? tf.transpose(dy!, [0, 2, 3, 1]) : dy!;
  const info = infoOf(tf, input, attributes.filterShape as Shape4, attributes, false);
  const rows = info.batchSize * info.outHeight * info.outWidth;
  const right = tf.reshape(upstream, [rows, info.outChannels]);
  const taps = tapsOf(tf, input, info).map((tap) => tf.matMul(tf.reshape(tap, [rows, info.inChannels]), right, true));
  return tf.reshape(tf.stack(taps), info.filterShape);
}

/** x [N, H, W, C], dy [N, OH, OW, C * M] -> [KH, KW, C, M] */
function depthwiseFilter(tf: TfModule, { x, dy }: Inputs, attributes: Attributes): Tf.Tensor {
  const shape = attributes.filterShape as Shape4;
  const info = infoOf(tf, x as Tf.Tensor4D, shape, attributes, true);
  const pixels = info.batchSize * info.outHeight * info.outWidth;
  const multiplier = shape[3];
  const right = tf.reshape(dy!, [pixels, info.inChannels, multiplier]);
  const taps = tapsOf(tf, x as Tf.Tensor4D, info).map((tap) => tf.sum(tf.mul(tf.reshape(tap, [pixels, info.inChannels, 1]), right), 0));
  return tf.reshape(tf.stack(taps), shape);
}

/**
 * dy [N, OH, OW, C * M], filter [KH, KW, C, M] -> [N, H, W, C]: the upstream gradient, spread by the strides, convolved with the
 * filter turned by half a circle; once for each of the M outputs of a channel.
 */
function depthwiseInput(tf: TfModule, { dy, filter }: Inputs, attributes: Attributes): Tf.Tensor {
  const shape = attributes.inputShape as Shape4;
  const [height, width, channels, multiplier] = filter!.shape as Shape4;
  const info = tf.backend_util.computeConv2DInfo(
    shape, [height, width, channels, multiplier], attributes.strides as [number, number], dilationsOf(attributes),
    attributes.pad as 'same', attributes.dimRoundingMode as undefined, true,
  );
  const reach = [(height - 1) * info.dilationHeight, (width - 1) * info.dilationWidth] as const;
  const turned = tf.reverse(filter!, [0, 1]);
  const upstream = tf.reshape(dy!, [info.batchSize * info.outHeight * info.outWidth, channels, multiplier]);
  const parts = Array.from({ length: multiplier }, (_, index) => {
    const own = tf.reshape(
      tf.slice(upstream, [0, 0, index], [-1, -1, 1]), [info.batchSize, info.outHeight, info.outWidth, channels],
    ) as Tf.Tensor4D;
    const spread = spreadOut(tf, own, info);
    const before = [reach[0] - info.padInfo.top, reach[1] - info.padInfo.left] as const;
    const framed = frame(tf, spread, before, [shape[1] + reach[0], shape[2] + reach[1]]);
    const kernel = tf.slice(turned, [0, 0, 0, index], [-1, -1, -1, 1]) as Tf.Tensor4D;
    return tf.depthwiseConv2d(framed, kernel, 1, 'valid', 'NHWC', [info.dilationHeight, info.dilationWidth]);
  });
  return parts.length === 1 ? parts[0]! : tf.addN(parts);
}

/** x [n, ...], segmentIds [n] -> [numSegments, ...]; ids out of range count for nothing, as in TensorFlow. */
function segmentSum(tf: TfModule, { x, segmentIds }: Inputs, { numSegments }: Attributes): Tf.Tensor {
  const count = segmentIds!.size;
  const width = x!.size / Math.max(1, count);
  const rest = x!.shape.slice(segmentIds!.rank);
  const ids = tf.cast(tf.reshape(segmentIds!, [count]), 'int32');
  const inside = tf.logicalAnd(tf.greaterEqual(ids, 0), tf.less(ids, numSegments as number));
  const rows = tf.mul(tf.reshape(x!, [count, width]), tf.cast(tf.reshape(inside, [count, 1]), x!.dtype));
  const places = tf.reshape(tf.mul(ids, tf.cast(inside, 'int32')), [count, 1]);
  return tf.reshape(tf.scatterND(places, rows, [numSegments as number, width]), [numSegments as number, ...rest]);
}

function einsum(tf: TfModule, inputs: Inputs, { equation }: Attributes): Tf.Tensor {
  const tensors = Object.values(inputs);
  const terms = equationOf(String(equation), tensors.map(({ rank }) => rank));
  if (!terms) throw new Error(`the equation '${String(equation)}' does not fit its operands`);
  return einsumOf(tf, terms, tensors);
}

type Shape4 = [number, number, number, number];

function infoOf(tf: TfModule, x: Tf.Tensor4D, filterShape: Shape4, attributes: Attributes, depthwise: boolean): ConvInfo {
  return tf.backend_util.computeConv2DInfo(
    x.shape, filterShape, attributes.strides as [number, number], dilationsOf(attributes), attributes.pad as 'same',
    attributes.dimRoundingMode as undefined, depthwise,
  );
}

function dilationsOf({ dilations }: Attributes): [number, number] {
  return (dilations as [number, number] | undefined) ?? [1, 1];
}

/** For each tap of the filter what it sees of the input: [N, OH, OW, C]. */
function tapsOf(tf: TfModule, x: Tf.Tensor4D, info: ConvInfo): Tf.Tensor4D[] {
  const { outHeight, outWidth, strideHeight, strideWidth, dilationHeight, dilationWidth } = info;
  const needed = [
    (info.filterHeight - 1) * dilationHeight + (outHeight - 1) * strideHeight + 1,
    (info.filterWidth - 1) * dilationWidth + (outWidth - 1) * strideWidth + 1,
  ] as const;
  const padded = frame(tf, x, [info.padInfo.top, info.padInfo.left], needed);
  const [batch, channels] = [info.batchSize, info.inChannels];
  const taps: Tf.Tensor4D[] = [];
  for (let row = 0; row < info.filterHeight; row++) {
    for (let column = 0; column < info.filterWidth; column++) {
      const begin = [0, row * dilationHeight, column * dilationWidth, 0];
      const size = [batch, (outHeight - 1) * strideHeight + 1, (outWidth - 1) * strideWidth + 1, channels];
      const seen = strideHeight === 1 && strideWidth === 1 ? tf.slice(padded, begin, size)
        : tf.stridedSlice(padded, begin, begin.map((from, axis) => from + size[axis]!), [1, strideHeight, strideWidth, 1]);
      taps.push(seen as Tf.Tensor4D);
    }
  }
  return taps;
}

/** Puts zeros (or cuts) around the picture so that `before` rows and columns precede it and its size is `size`. */
function frame(tf: TfModule, x: Tf.Tensor4D, before: readonly [number, number], size: readonly [number, number]): Tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  const after = [size[0] - before[0] - height, size[1] - before[1] - width] as const;
  const cut = tf.slice(
    x, [0, Math.max(0, -before[0]), Math.max(0, -before[1]), 0],
    [batch, height + Math.min(0, before[0]) + Math.min(0, after[0]), width + Math.min(0, before[1]) + Math.min(0, after[1]), channels],
  );
  const pads = [[0, 0], [Math.max(0, before[0]), Math.max(0, after[0])], [Math.max(0, before[1]), Math.max(0, after[1])], [0, 0]];
  return pads.flat().some((pad) => pad > 0) ? tf.pad(cut, pads as [number, number][]) as Tf.Tensor4D : cut;
}

/** Puts stride - 1 zeros between neighbours; the last ones keep none behind them. */
function spreadOut(tf: TfModule, dy: Tf.Tensor4D, { strideHeight, strideWidth }: ConvInfo): Tf.Tensor4D {
  if (strideHeight === 1 && strideWidth === 1) return dy;
  const [batch, height, width, channels] = dy.shape;
  const tall = tf.pad(tf.reshape(dy, [batch * height, 1, width * channels]), [[0, 0], [0, strideHeight - 1], [0, 0]]);
  const rows = height * strideHeight;
  const wide = tf.pad(tf.reshape(tall, [batch * rows, width, 1, channels]), [[0, 0], [0, 0], [0, strideWidth - 1], [0, 0]]);
  const whole = tf.reshape(wide, [batch, rows, width * strideWidth, channels]);
  return tf.slice(whole, [0, 0, 0, 0], [batch, (height - 1) * strideHeight + 1, (width - 1) * strideWidth + 1, channels]) as Tf.Tensor4D;
}
