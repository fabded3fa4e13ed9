import { int } from '../../../graph/attributes';
import type { AtenCall, AtenRules } from '../atenCall';

/** Matrix products, convolutions and embeddings. */
export const linear: AtenRules = {
  'linear.default': (call) => {
    const [x, weight, bias] = [call.tensor('input'), call.tensor('weight'), call.optional('bias')];
    if (call.rank(x) === 2) {
      call.emit('Gemm', bias ? [x, weight, bias] : [x, weight], { transB: int(1) }, call.outputs);
      return;
    }
    const turned = call.emit('Transpose', [weight], { perm: { type: 'ints', value: [1, 0] } });
    if (!bias) call.emit('MatMul', [x, turned], {}, call.outputs);
    else call.emit('Add', [call.emit('MatMul', [x, turned]), bias], {}, call.outputs);
  },
  'addmm.default': (call) => {
    if (call.float('beta', 1) !== 1 || call.float('alpha', 1) !== 1) throw new RangeError('alpha and beta other than 1');
    call.emit('Gemm', [call.tensor('mat1'), call.tensor('mat2'), call.tensor('self')], {}, call.outputs);
  },
  'mm.default': (call) => call.emit('MatMul', [call.tensor('self'), call.tensor('mat2')], {}, call.outputs),
  'bmm.default': (call) => call.emit('MatMul', [call.tensor('self'), call.tensor('mat2')], {}, call.outputs),
  'matmul.default': (call) => call.emit('MatMul', [call.tensor('self'), call.tensor('other')], {}, call.outputs),
  'embedding.default': (call) => call.emit('Gather', [call.tensor('weight'), call.tensor('indices')], { axis: int(0) }, call.outputs),
  'conv1d.default': (call) => convolution(call, 1),
  'conv2d.default': (call) => convolution(call, 2),
  'conv3d.default': (call) => convolution(call, 3),
  'convolution.default': (call) => convolution(call, call.rank(call.tensor('weight')) - 2),
  'conv1d.padding': (call) => convolution(call, 1),
  'conv2d.padding': (call) => convolution(call, 2),
  'conv_transpose1d.default': (call) => convolution(call, 1, true),
  'conv_transpose2d.input': (call) => convolution(call, 2, true),
  'conv_transpose3d.input': (call) => convolution(call, 3, true),
  'scaled_dot_product_attention.default': attention,
};

function convolution(call: AtenCall, rank: number, turned = call.bool('transposed', false)): void {
  const [x, weight, bias] = [call.tensor('input'), call.tensor('weight'), call.optional('bias')];
  if (call.rank(x) !== rank + 2) throw new RangeError('an input without a batch axis');
  const strides = call.ints('stride', new Array<number>(rank).fill(1), rank);
  const dilations = call.ints('dilation', new Array<number>(rank).fill(1), rank);
  const word = call.text('padding', '');
  const attributes = {
    strides: { type: 'ints', value: strides }, dilations: { type: 'ints', value: dilations }, group: int(call.int('groups', 1)),
  } as const;
  const inputs = bias ? [x, weight, bias] : [x, weight];
  if (word === 'same') {
    // PyTorch puts the odd element behind, as ONNX's SAME_UPPER does.
    call.emit('Conv', inputs, { ...attributes, auto_pad: { type: 'string', value: 'SAME_UPPER' } }, call.outputs);
    return;
  }
  const padding = word ? new Array<number>(rank).fill(0) : call.ints('padding', new Array<number>(rank).fill(0), rank);
  const pads = { type: 'ints', value: [...padding, ...padding] } as const;
  if (!turned) call.emit('Conv', inputs, { ...attributes, pads }, call.outputs);
  else {
    const extra = call.ints('output_padding', new Array<number>(rank).fill(0), rank);
    call.emit('ConvTranspose', inputs, { ...attributes, pads, output_padding: { type: 'ints', value: extra } }, call.outputs);
  }
}

/** softmax(q k' / sqrt(width) + mask) v */
function attention(call: AtenCall): void {
  const [query, key, value, mask] = [call.tensor('query'), call.tensor('key'), call.tensor('value'), call.optional('attn_mask')];
  if (call.bool('is_causal', false)) throw new RangeError('a causal mask');
  if (mask && call.dtype(mask) === 'bool') throw new RangeError('a boolean mask');
  const rank = call.rank(query);
  const width = call.shape(query)[rank - 1];
  if (typeof width !== 'number') throw new RangeError('heads of unknown width');
  const perm = Array.from({ length: rank }, (_, axis) => axis);
  perm.push(perm.splice(rank - 2, 1)[0]!);
  const turned = call.emit('Transpose', [key], { perm: { type: 'ints', value: perm } });
  const scaled = call.emit('Mul', [query, call.scalar(call.float('scale', 1 / Math.sqrt(width)), call.dtype(query))]);
  const scores = call.emit('MatMul', [scaled, turned]);
  const weights = call.emit('Softmax', [mask ? call.emit('Add', [scores, mask]) : scores], { axis: int(-1) });
  call.emit('MatMul', [weights, value], {}, call.outputs);
}
