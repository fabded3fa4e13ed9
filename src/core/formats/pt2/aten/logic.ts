import { int } from '../../../graph/attributes';
import type { DType } from '../../../graph/tensor';
import { onnxDtypeCodes } from '../../onnx/onnxSchema';
import { axisOf, same, type AtenCall, type AtenRule, type AtenRules } from '../atenCall';

/** Comparisons, masks, tensors of one number, and changes of type. */
export const logic: AtenRules = {
  eq: compare('Equal'), gt: compare('Greater'), lt: compare('Less'), ge: compare('GreaterOrEqual'), le: compare('LessOrEqual'),
  ne: (call) => {
    const self = call.tensor('self');
    call.emit('Not', [call.emit('Equal', [self, call.operand('other', self)])], {}, call.outputs);
  },
  logical_not: same('Not'), bitwise_not: same('Not'),
  logical_and: (call) => call.emit('And', [call.tensor('self'), call.tensor('other')], {}, call.outputs),
  logical_or: (call) => call.emit('Or', [call.tensor('self'), call.tensor('other')], {}, call.outputs),
  'any.dim': (call) => {
    // ONNX reduces numbers only.
    const x = call.tensor('self');
    const numbers = call.emit('Cast', [x], castTo('int32'));
    const axes = call.int64([axisOf(call.int('dim', 0), call.rank(x))]);
    const most = call.emit('ReduceMax', [numbers, axes], { keepdims: int(call.bool('keepdim', false) ? 1 : 0) });
    call.emit('Cast', [most], castTo('bool'), call.outputs);
  },
  'masked_fill.Scalar': (call) => {
    const x = call.tensor('self');
    call.emit('Where', [call.tensor('mask'), call.operand('value', x), x], {}, call.outputs);
  },
  'full_like.default': (call) => filledLike(call, call.float('fill_value', 0)),
  'zeros_like.default': (call) => filledLike(call, 0), 'ones_like.default': (call) => filledLike(call, 1),
  'full.default': (call) => {
    const value = call.scalar(call.float('fill_value', 0), call.dtype(call.outputs[0]!));
    call.emit('Expand', [value, call.sizes('size')], {}, call.outputs);
  },
  _to_copy: cast, 'to.dtype': cast, 'to.dtype_layout': cast, type_as: cast,
};

function compare(op: string): AtenRule {
  return (call) => {
    const self = call.tensor('self');
    call.emit(op, [self, call.operand('other', self)], {}, call.outputs);
  };
}

function filledLike(call: AtenCall, value: number): void {
  const size = call.emit('Shape', [call.tensor('self')]);
  call.emit('Expand', [call.scalar(value, call.dtype(call.outputs[0]!)), size], {}, call.outputs);
}

/** The file says which type comes out, whatever the arguments are called. */
function cast(call: AtenCall): void {
  const to = call.dtype(call.outputs[0]!);
  if (!to) throw new RangeError('a type that is not known');
  if (to === call.dtype(call.tensor('self'))) call.emit('Identity', [call.tensor('self')], {}, call.outputs);
  else call.emit('Cast', [call.tensor('self')], castTo(to), call.outputs);
}

function castTo(dtype: DType): { to: ReturnType<typeof int> } {
  return { to: int(onnxDtypeCodes[dtype]) };
}
