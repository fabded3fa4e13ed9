import { float, int } from '../../../graph/attributes';
import type { AtenCall, AtenRule, AtenRules } from '../atenCall';
import { axisOf } from '../atenCall';

/** Pooling, normalisation and reductions. */
export const windows: AtenRules = {
  'max_pool1d.default': maxPool(1), 'max_pool2d.default': maxPool(2), 'max_pool3d.default': maxPool(3), 'max_pool2d_with_indices.default': maxPool(2),
  'avg_pool1d.default': averagePool(1), 'avg_pool2d.default': averagePool(2), 'avg_pool3d.default': averagePool(3),
  'adaptive_avg_pool1d.default': adaptive('AveragePool', 1), 'adaptive_avg_pool2d.default': adaptive('AveragePool', 2),
  '_adaptive_avg_pool2d.default': adaptive('AveragePool', 2), 'adaptive_avg_pool3d.default': adaptive('AveragePool', 3),
  'adaptive_max_pool2d.default': adaptive('MaxPool', 2),
  'batch_norm.default': (call) => batchNorm(call, 'training'), '_native_batch_norm_legit_no_training.default': (call) => batchNorm(call, ''),
  'layer_norm.default': layerNorm, 'native_layer_norm.default': layerNorm,
  'mean.dim': reduce('ReduceMean'), 'mean.default': reduce('ReduceMean'), 'sum.dim_IntList': reduce('ReduceSum'), 'sum.default': reduce('ReduceSum'),
  'amax.default': reduce('ReduceMax'), 'amin.default': reduce('ReduceMin'),
};

function maxPool(rank: number): AtenRule {
  return (call) => {
    const { x, strides, kernel, pads } = window(call, rank);
    const dilations = call.ints('dilation', new Array<number>(rank).fill(1), rank);
    call.emit('MaxPool', [x], {
      kernel_shape: { type: 'ints', value: kernel }, strides: { type: 'ints', value: strides }, pads: { type: 'ints', value: pads },
      dilations: { type: 'ints', value: dilations }, ceil_mode: int(call.bool('ceil_mode', false) ? 1 : 0),
    }, call.outputs.slice(0, 1));
  };
}

function averagePool(rank: number): AtenRule {
  return (call) => {
    if (call.has('divisor_override')) throw new RangeError('a divisor of its own');
    const { x, strides, kernel, pads } = window(call, rank);
    call.emit('AveragePool', [x], {
      kernel_shape: { type: 'ints', value: kernel }, strides: { type: 'ints', value: strides }, pads: { type: 'ints', value: pads },
      ceil_mode: int(call.bool('ceil_mode', false) ? 1 : 0), count_include_pad: int(call.bool('count_include_pad', true) ? 1 : 0),
    }, call.outputs);
  };
}

function window(call: AtenCall, rank: number): { x: string; kernel: readonly number[]; strides: readonly number[]; pads: readonly number[] } {
  const x = call.tensor('self');
  if (call.rank(x) !== rank + 2) throw new RangeError('an input without a batch axis');
  const kernel = call.ints('kernel_size', [], rank);
  const given = call.ints('stride', [], rank);
  const padding = call.ints('padding', new Array<number>(rank).fill(0), rank);
  return { x, kernel, strides: given.length ? given : kernel, pads: [...padding, ...padding] };
}

/** Windows that divide the input evenly are ordinary pooling; one window is global pooling. */
function adaptive(op: 'AveragePool' | 'MaxPool', rank: number): AtenRule {
  return (call) => {
    const x = call.tensor('self');
    const sizes = call.ints('output_size', [], rank);
    const outputs = call.outputs.slice(0, 1);
    if (sizes.every((size) => size === 1)) {
      call.emit(`Global${op}`, [x], {}, outputs);
      return;
    }
    const kernel = call.shape(x).slice(2).map((size, axis) => {
      if (size === null || size % sizes[axis]!) throw new RangeError(`${size ?? 'unknown many'} elements in ${sizes[axis]} unequal windows`);
      return size / sizes[axis]!;
    });
    call.emit(op, [x], { kernel_shape: { type: 'ints', value: kernel }, strides: { type: 'ints', value: kernel } }, outputs);
  };
}

function batchNorm(call: AtenCall, training: string): void {
  if (training && call.bool(training, false)) throw new RangeError('it was exported in training mode');
  const x = call.tensor('input');
  const [mean, variance] = [call.tensor('running_mean'), call.tensor('running_var')];
  const channels = call.shape(mean)[0];
  if (typeof channels !== 'number') throw new RangeError('an unknown number of channels');
  const fill = (value: number): string => call.constant({ dtype: 'float32', shape: [channels], data: new Float32Array(channels).fill(value) });
  const [scale, bias] = [call.optional('weight') || fill(1), call.optional('bias') || fill(0)];
  call.emit('BatchNormalization', [x, scale, bias, mean, variance], { epsilon: float(call.float('eps', 1e-5)) }, call.outputs.slice(0, 1));
}

function layerNorm(call: AtenCall): void {
  const shape = call.ints('normalized_shape', []);
  const [x, bias] = [call.tensor('input'), call.optional('bias')];
  const count = shape.reduce((product, size) => product * size, 1);
  const scale = call.optional('weight') || call.constant({ dtype: 'float32', shape, data: new Float32Array(count).fill(1) });
  call.emit('LayerNormalization', bias ? [x, scale, bias] : [x, scale], { axis: int(-shape.length), epsilon: float(call.float('eps', 1e-5)) }, call.outputs.slice(0, 1));
}

function reduce(op: string): AtenRule {
  return (call) => {
    const x = call.tensor('self');
    const rank = call.rank(x);
    const axes = call.ints('dim', []).map((axis) => axisOf(axis, rank));
    const keep = { keepdims: int(call.bool('keepdim', false) ? 1 : 0) };
    call.emit(op, axes.length ? [x, call.int64(axes)] : [x], keep, call.outputs);
  };
}
