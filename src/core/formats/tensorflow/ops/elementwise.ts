import { int } from '../../../graph/attributes';
import type { DType } from '../../../graph/tensor';
import type { OpContext, OpGroup } from '../opContext';

const binary: Readonly<Record<string, string>> = {
  Add: 'Add', AddV2: 'Add', BiasAddV1: 'Add', Sub: 'Sub', Mul: 'Mul', RealDiv: 'Div', Div: 'Div', Maximum: 'Max', Minimum: 'Min', Pow: 'Pow',
  Greater: 'Greater', GreaterEqual: 'GreaterOrEqual', Less: 'Less', LessEqual: 'LessOrEqual', Equal: 'Equal', LogicalAnd: 'And', LogicalOr: 'Or',
};

export const elementwiseOps: OpGroup = {
  ...Object.fromEntries(Object.entries(binary).map(([op, name]) => [op, (context: OpContext) => context.add(name, [context.input(0), context.input(1)])])),
  AddN: (context) => context.add('Sum', all(context)),
  NotEqual: (context) => context.add('Not', [context.add('Equal', [context.input(0), context.input(1)])]),
  SquaredDifference(context) {
    const difference = context.add('Sub', [context.input(0), context.input(1)]);
    return context.add('Mul', [difference, difference]);
  },
  DivNoNan: (context) => {
    const [x, y] = [context.input(0), context.input(1)];
    const zero = context.float32('zero', [0]);
    return context.add('Where', [context.add('Equal', [y, zero]), zero, context.add('Div', [x, y])]);
  },
  FloorDiv(context) {
    const quotient = context.add('Div', [context.input(0), context.input(1)]);
    return isWhole(context, context.input(0)) ? quotient : context.add('Floor', [quotient]);
  },
  FloorMod: (context) => isWhole(context, context.input(0)) ? context.add('Mod', [context.input(0), context.input(1)])
    : context.add('Sub', [context.input(0), context.add('Mul', [context.add('Floor', [context.add('Div', [context.input(0), context.input(1)])]), context.input(1)])]),
  BiasAdd(context) {
    const [x, bias] = [context.input(0), context.input(1)];
    const rank = context.facts(x).shape?.length ?? 2;
    if (context.text('data_format', 'NHWC') !== 'NCHW' || rank < 3) return context.add('Add', [x, bias]);
    const axes = context.int64('axes', Array.from({ length: rank - 2 }, (_, index) => index + 1));
    return context.add('Add', [x, context.add('Unsqueeze', [bias, axes])]);
  },
  SelectV2: (context) => context.add('Where', [context.input(0), context.input(1), context.input(2)]),
  Select: (context) => context.facts(context.input(0)).shape?.length === context.facts(context.input(1)).shape?.length
    ? context.add('Where', [context.input(0), context.input(1), context.input(2)]) : context.opaque('its condition has other axes than its values'),
  Cast(context) {
    // Whole numbers are int64 throughout.
    const wanted = context.dtype('DstT');
    const dtype = wanted === 'int32' ? 'int64' : wanted;
    const code = dtype && castCodes[dtype];
    if (!code) return context.opaque('it casts to a type that ONNX does not have');
    return context.facts(context.input(0)).dtype === dtype ? context.input(0) : context.add('Cast', [context.input(0)], { to: int(code) });
  },
};

/** TensorProto.DataType of ONNX. */
export const castCodes: Partial<Record<DType, number>> = {
  float32: 1, uint8: 2, int8: 3, uint16: 4, int16: 5, int32: 6, int64: 7, bool: 9, float16: 10, float64: 11, uint32: 12, uint64: 13, bfloat16: 16,
};

export function all(context: OpContext): string[] {
  return Array.from({ length: context.inputCount }, (_, index) => context.input(index));
}

function isWhole(context: OpContext, value: string): boolean {
  return /int/.test(context.facts(value).dtype ?? '');
}
