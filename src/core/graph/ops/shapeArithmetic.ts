import { int, intOf, withAttributes } from '../attributes';
import type { Dim, GraphNode } from '../modelGraph';
import { asNumbers } from '../numeric';
import { elementCount, type DType } from '../tensor';
import { barriers, broadcast, broadcastRelations, firstInput, firstOutput, plain, product, range, sameAxes } from './axes';
import { copyGradient, repetitionGradient } from './gradients/movement';
import type { OperatorFamily, Relation, ShapeContext, ValueFacts } from './operator';
import { scaled } from './reshape';

/** Identity and Cast: the same elements. */
export const copies: OperatorFamily = {
  name: 'copies',
  ops: ['Identity', 'Cast', 'CastLike'],

  upgrade(node) {
    const to = node.attributes['to'];
    return [node.op === 'Cast' && to?.type === 'string'
      ? withAttributes(node, { set: { to: int(Math.max(1, castNames.indexOf(to.value.toUpperCase()))) } })
      : node];
  },

  shape(node, context) {
    const { dtype, shape, constant, fill } = context.facts(firstInput(node));
    if (node.op === 'Identity') return [{ dtype, shape, constant, fill }];
    const to = node.op === 'Cast' ? castTypes[intOf(node, 'to', 0)] : context.facts(node.inputs[1] ?? '').dtype;
    const whole = to !== undefined && /int/.test(to);
    return [{ dtype: to, shape, constant: whole ? constant?.map((value) => value && Math.trunc(value)) : constant, fill: whole && fill !== undefined ? Math.trunc(fill) : fill }];
  },

  flow(node, context) {
    return sameAxes(firstInput(node), firstOutput(node), context.facts(firstInput(node)).shape?.length ?? 0);
  },

  gradient: copyGradient,
};

/** Sizes as values, and values made from sizes. */
export const shapeArithmetic: OperatorFamily = {
  name: 'shapeArithmetic',
  ops: ['Shape', 'Size', 'ConstantOfShape', 'Range', 'Constant'],

  shape(node, context) {
    return [rules[node.op]!(node, context)];
  },

  flow(node, context) {
    // Made from sizes, so nothing of it can follow a removal by itself.
    const y = firstOutput(node);
    if (node.op === 'Constant') return [];
    return barriers(y, range(0, context.facts(y).shape?.length ?? 0), `${node.op} makes it as long as it says`);
  },

  // Sizes do not change with the elements.
  gradient: () => [],
};

/** Expand and Tile: repetition. */
export const repetition: OperatorFamily = {
  name: 'repetition',
  ops: ['Expand', 'Tile'],

  shape(node, context) {
    const { dtype, shape, constant, fill = constant?.length === 1 ? constant[0] ?? undefined : undefined } = context.facts(firstInput(node));
    const second = context.facts(node.inputs[1] ?? '');
    if (node.op === 'Tile') {
      const times = second.constant;
      const size = (dim: Dim, axis: number): Dim => {
        const count = times?.[axis] ?? null;
        return dim === null || count === null ? null : dim * count;
      };
      return [{ dtype, shape: shape?.map(size), fill }];
    }
    const rank = second.shape?.length === 1 ? second.shape[0] : null;
    const target = second.constant ?? (typeof rank === 'number' && rank <= 64 ? new Array<Dim>(rank).fill(null) : undefined);
    return [{ dtype, shape: broadcast([shape, target]), fill }];
  },

  flow(node, context): Relation[] {
    const x = firstInput(node);
    const y = firstOutput(node);
    const target = context.contents?.(node.inputs[1] ?? '') ?? context.facts(node.inputs[1] ?? '').constant;
    const before = context.facts(x).shape;
    if (node.op === 'Expand') {
      if (before && target?.every((dim) => dim !== null)) return broadcastRelations(x, y, context);
      const shape = context.facts(y).shape ?? [];
      // A target that is computed can only be trusted to leave alone what it does not stretch.
      return [
        ...broadcastRelations(x, y, context),
        ...barriers(y, range(0, shape.length).filter((axis) => typeof shape[axis] === 'number'), computedTarget),
      ];
    }
    return (before ?? []).flatMap((size, axis): Relation[] => {
      const count = target?.[axis] ?? null;
      if (count === null) return [...barriers(x, [axis], computedTarget), ...barriers(y, [axis], computedTarget)];
      // One index repeated is stretched, as Expand does it.
      return size === 1 && count > 1 ? [] : [{ ...plain(x, axis, y, axis), outer: count }];
    });
  },

  resize(node, context) {
    const [x, y] = [firstInput(node), firstOutput(node)];
    const target = node.inputs[1] ?? '';
    const now = context.contents(target);
    const [before, wanted] = [context.sizes(x), context.sizes(y)];
    if (!now || !before || !wanted) return node;
    const shift = wanted.length - now.length;
    const own = (axis: number): Dim => before[axis + shift - (wanted.length - before.length)] ?? 1;
    const right = now.map((entry, axis): Dim => {
      const size = wanted[axis + shift] ?? null;
      if (entry === null || entry <= 1 || size === null) return entry;
      return node.op === 'Expand' ? size : own(axis) === 1 ? size : entry;
    });
    if (right.every((entry, axis) => entry === now[axis])) return node;
    const after = context.facts(y).shape;
    // What an expansion leaves as it is need not be said.
    const literal = right.map((entry, axis) => (typeof after?.[axis + shift] === 'number' || node.op === 'Tile' ? entry : own(axis) === wanted[axis + shift] ? 1 : null));
    const next = literal.every((entry): entry is number => entry !== null) ? context.int64('shape', literal) : scaled(context, target, now, right);
    return { ...node, inputs: [x, next] };
  },

  gradient: repetitionGradient,
};

const computedTarget = 'its size is computed when the model runs';

const rules: Readonly<Record<string, (node: GraphNode, context: ShapeContext) => ValueFacts>> = {
  Shape(node, context) {
    const { shape } = context.facts(firstInput(node));
    if (!shape) return { dtype: 'int64', shape: [null] };
    const place = (axis: number): number => Math.min(Math.max(axis < 0 ? axis + shape.length : axis, 0), shape.length);
    const part = shape.slice(place(intOf(node, 'start', 0)), place(intOf(node, 'end', shape.length)));
    return { dtype: 'int64', shape: [part.length], constant: part };
  },

  Size(node, context) {
    const { shape } = context.facts(firstInput(node));
    return { dtype: 'int64', shape: [], constant: [shape ? product(shape) : null] };
  },

  ConstantOfShape(node, context) {
    const { constant, shape } = context.facts(firstInput(node));
    const fill = node.attributes['value'];
    const value = fill?.type === 'tensor' ? fill.value : undefined;
    const dtype = value?.dtype ?? 'float32';
    const rank = shape?.length === 1 ? shape[0] : null;
    const element = value ? asNumbers(value)[0] ?? 0 : 0;
    if (!constant) return { dtype, shape: typeof rank === 'number' && rank <= 64 ? new Array<Dim>(rank).fill(null) : undefined, fill: element };
    const count = product(constant);
    const small = constant.length <= 1 && count !== null && count <= 1024;
    return { dtype, shape: constant, constant: small ? new Array<Dim>(count).fill(element) : undefined, fill: element };
  },

  Range(node, context) {
    const facts = node.inputs.map((input) => context.facts(input));
    const [start, limit, step] = facts.map((fact) => fact.constant?.[0] ?? null);
    const dtype = facts[0]?.dtype;
    if (start == null || limit == null || step == null || step === 0) return { dtype, shape: [null] };
    const count = Math.max(0, Math.ceil((limit - start) / step));
    return { dtype, shape: [count], constant: count <= 1024 ? range(0, count).map((index) => start + index * step) : undefined };
  },

  Constant(node) {
    const [attribute] = Object.values(node.attributes);
    if (attribute?.type === 'tensor') {
      const { dtype, shape } = attribute.value;
      const small = dtype !== 'string' && elementCount(shape) <= 1024;
      return { dtype, shape, constant: small && (/int|bool/.test(dtype) || elementCount(shape) === 1) ? asNumbers(attribute.value) : undefined };
    }
    if (attribute?.type === 'int') return { dtype: 'int64', shape: [], constant: [attribute.value] };
    if (attribute?.type === 'float') return { dtype: 'float32', shape: [], constant: [attribute.value] };
    if (attribute?.type === 'ints') return { dtype: 'int64', shape: [attribute.value.length], constant: attribute.value };
    if (attribute?.type === 'floats') return { dtype: 'float32', shape: [attribute.value.length] };
    return {};
  },
};

/** TensorProto's numbering of element types. */
export const castTypes: readonly (DType | undefined)[] = [
  undefined, 'float32', 'uint8', 'int8', 'uint16', 'int16', 'int32', 'int64', 'string', 'bool', 'float16', 'float64', 'uint32',
  'uint64', 'complex64', 'complex128', 'bfloat16', 'float8e4m3fn', 'float8e4m3fnuz', 'float8e5m2', 'float8e5m2fnuz', 'uint4', 'int4',
];

const castNames: readonly string[] = [
  '', 'FLOAT', 'UINT8', 'INT8', 'UINT16', 'INT16', 'INT32', 'INT64', 'STRING', 'BOOL', 'FLOAT16', 'DOUBLE', 'UINT32', 'UINT64',
];
