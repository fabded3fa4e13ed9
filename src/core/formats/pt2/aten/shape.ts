import { int } from '../../../graph/attributes';
import { axisOf, type AtenCall, type AtenRules } from '../atenCall';

/** Operators that rearrange, cut and join. */
export const shape: AtenRules = {
  view: reshape, _unsafe_view: reshape, reshape,
  'flatten.using_ints': flatten,
  'permute.default': (call) => {
    const x = call.tensor('self');
    transpose(call, x, call.ints('dims', []).map((axis) => axisOf(axis, call.rank(x))));
  },
  'transpose.int': (call) => {
    const x = call.tensor('self');
    const perm = Array.from({ length: call.rank(x) }, (_, axis) => axis);
    const [one, two] = [axisOf(call.int('dim0', 0), perm.length), axisOf(call.int('dim1', 0), perm.length)];
    [perm[one], perm[two]] = [two, one];
    transpose(call, x, perm);
  },
  't.default': (call) => transpose(call, call.tensor('self'), call.rank(call.tensor('self')) === 2 ? [1, 0] : [0]),
  'unsqueeze.default': (call) => call.emit('Unsqueeze', [call.tensor('self'), call.int64([call.int('dim', 0)])], {}, call.outputs),
  'squeeze.dim': (call) => squeeze(call, [call.int('dim', 0)]), 'squeeze.dims': (call) => squeeze(call, call.ints('dim', [])),
  'cat.default': (call) => call.emit('Concat', call.tensors('tensors'), { axis: int(call.int('dim', 0)) }, call.outputs),
  'stack.default': (call) => {
    const axis = call.int('dim', 0);
    const wide = call.tensors('tensors').map((tensor) => call.emit('Unsqueeze', [tensor, call.int64([axis])]));
    call.emit('Concat', wide, { axis: int(axis) }, call.outputs);
  },
  'expand.default': (call) => {
    // -1 keeps a size; so does 1, by broadcasting.
    const known = call.knownSizes('size').map((size) => (size === -1 ? 1 : size));
    const target = known.every((size): size is number => size !== null) ? call.int64(known) : call.sizes('size');
    call.emit('Expand', [call.tensor('self'), target], {}, call.outputs);
  },
  'slice.Tensor': (call) => {
    const ends = call.int('end', Number.MAX_SAFE_INTEGER);
    const numbers = [call.int('start', 0), ends, call.int('dim', 0), call.int('step', 1)].map((value) => call.int64([value]));
    call.emit('Slice', [call.tensor('self'), ...numbers], {}, call.outputs);
  },
  'select.int': (call) => {
    const index = call.constant({ dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(call.int('index', 0))) });
    call.emit('Gather', [call.tensor('self'), index], { axis: int(call.int('dim', 0)) }, call.outputs);
  },
  'split.Tensor': split, 'split_with_sizes.default': split, 'chunk.default': split,
  'constant_pad_nd.default': (call) => pad(call, 'constant', call.float('value', 0)),
  'pad.default': (call) => pad(call, call.text('mode', 'constant'), call.float('value', 0)),
};

function reshape(call: AtenCall): void {
  const name = call.has('shape') ? 'shape' : 'size';
  const x = call.tensor('self');
  // One symbol among numbers is what is left over.
  const known = call.knownSizes(name);
  const open = known.filter((size) => size === null).length;
  const target = open === 1 && !known.includes(-1) ? call.int64(known.map((size) => size ?? -1)) : call.sizes(name);
  call.emit('Reshape', [x, target], {}, call.outputs);
}

function flatten(call: AtenCall): void {
  const x = call.tensor('self');
  const sizes = call.shape(x);
  const first = axisOf(call.int('start_dim', 0), sizes.length);
  const last = axisOf(call.int('end_dim', -1), sizes.length);
  if (first === 1 && last === sizes.length - 1) {
    call.emit('Flatten', [x], { axis: int(1) }, call.outputs);
    return;
  }
  const behind = sizes.slice(last + 1);
  if (behind.includes(null)) throw new RangeError('sizes behind it that are not known');
  const target = [...new Array<number>(first).fill(0), -1, ...(behind as number[])];
  call.emit('Reshape', [x, call.int64(target)], {}, call.outputs);
}

function transpose(call: AtenCall, x: string, perm: readonly number[]): void {
  call.emit('Transpose', [x], { perm: { type: 'ints', value: perm } }, call.outputs);
}

function squeeze(call: AtenCall, dims: readonly number[]): void {
  const x = call.tensor('self');
  const sizes = call.shape(x);
  const axes = dims.map((axis) => axisOf(axis, sizes.length)).filter((axis) => sizes[axis] === 1);
  if (axes.length) call.emit('Squeeze', [x, call.int64(axes)], {}, call.outputs);
  else call.emit('Identity', [x], {}, call.outputs);
}

function split(call: AtenCall): void {
  const sizes = call.outputs.map((output) => call.shape(output)[axisOf(call.int('dim', 0), call.rank(output))]);
  if (!sizes.every((size): size is number => typeof size === 'number')) throw new RangeError('parts of unknown size');
  call.emit('Split', [call.tensor('self'), call.int64(sizes)], { axis: int(call.int('dim', 0)) }, call.outputs);
}

/** PyTorch pads from the last axis on, before and behind by turns. */
function pad(call: AtenCall, mode: string, value: number): void {
  const names: Readonly<Record<string, string>> = { constant: 'constant', reflect: 'reflect', replicate: 'edge' };
  if (!names[mode]) throw new RangeError(`padding by '${mode}'`);
  const x = call.tensor('self');
  const given = call.ints('pad', []);
  const rank = call.rank(x);
  const before = new Array<number>(rank).fill(0);
  const behind = new Array<number>(rank).fill(0);
  for (let k = 0; k < given.length / 2; k++) {
    before[rank - 1 - k] = given[2 * k]!;
    behind[rank - 1 - k] = given[2 * k + 1]!;
  }
  const inputs = [x, call.int64([...before, ...behind])];
  call.emit('Pad', mode === 'constant' ? [...inputs, call.scalar(value, call.dtype(x))] : inputs, { mode: { type: 'string', value: names[mode] } }, call.outputs);
}
