import { float, int, ints } from '../../attributes';
import { ParticlizeError } from '../../errors';
import type { Attribute, Dim, Shape } from '../../modelGraph';
import { fromFloat32, isFloat } from '../../numeric';
import type { DType } from '../../tensor';
import { castTypes } from '../shapeArithmetic';
import type { GradientContext } from '../operator';
import { range } from '../axes';

/** Short words for the operators that gradient rules are written in. Values are names, as everywhere in a builder. */
export class Maths {
  readonly builder: GradientContext['builder'];

  constructor(private readonly context: Pick<GradientContext, 'builder' | 'sizes'>) {
    this.builder = context.builder;
  }

  op(name: string, inputs: readonly string[], attributes?: Readonly<Record<string, Attribute>>): string {
    return this.builder.node(name, inputs, attributes);
  }

  add(a: string, b: string): string {
    return this.op('Add', [a, b]);
  }

  sub(a: string, b: string): string {
    return this.op('Sub', [a, b]);
  }

  mul(a: string, b: string): string {
    return this.op('Mul', [a, b]);
  }

  div(a: string, b: string): string {
    return this.op('Div', [a, b]);
  }

  neg(a: string): string {
    return this.op('Neg', [a]);
  }

  square(a: string): string {
    return this.mul(a, a);
  }

  scale(a: string, factor: number): string {
    return factor === 1 ? a : this.mul(a, this.scalar(factor, a));
  }

  plus(a: string, term: number): string {
    return term === 0 ? a : this.add(a, this.scalar(term, a));
  }

  /** term - a */
  minusFrom(term: number, a: string): string {
    return this.sub(this.scalar(term, a), a);
  }

  where(condition: string, yes: string, no: string): string {
    return this.op('Where', [condition, yes, no]);
  }

  greater(a: string, limit: number): string {
    return this.op('Greater', [a, this.scalar(limit, a)]);
  }

  less(a: string, limit: number): string {
    return this.op('Less', [a, this.scalar(limit, a)]);
  }

  /** 1 where the condition holds and 0 elsewhere, in the type of `like`. */
  mask(condition: string, like: string): string {
    return this.castLike(condition, like);
  }

  /** `a` where the condition holds and 0 elsewhere. */
  only(condition: string, a: string): string {
    return this.where(condition, a, this.scalar(0, a));
  }

  /** A number in the type of `like`. */
  scalar(value: number, like: string): string {
    const number = this.builder.float32([value], []);
    const { dtype } = this.builder.facts(like);
    return dtype === 'float32' || !dtype ? number : this.cast(number, dtype);
  }

  cast(a: string, dtype: DType): string {
    return this.op('Cast', [a], { to: int(castTypes.indexOf(dtype)) });
  }

  castLike(a: string, like: string): string {
    const { dtype } = this.builder.facts(like);
    return dtype ? this.cast(a, dtype) : this.op('CastLike', [a, like]);
  }

  transpose(a: string, perm: readonly number[]): string {
    return perm.every((axis, index) => axis === index) ? a : this.op('Transpose', [a], { perm: ints(perm) });
  }

  reshape(a: string, target: readonly number[]): string {
    return this.op('Reshape', [a, this.builder.int64(target)]);
  }

  /** The elements of `a` in the shape of `like`. */
  reshapeLike(a: string, like: string): string {
    const target = this.knownTarget(like);
    return target ? this.reshape(a, target) : this.op('Reshape', [a, this.shape(like)], { allowzero: int(1) });
  }

  /** Sizes of the axes from `start` up to `end`, as a value; a constant where they are known. */
  shape(value: string, start = 0, end?: number): string {
    const { shape } = this.builder.facts(value);
    const part = shape?.slice(start, end);
    if (part?.every((dim): dim is number => dim !== null)) return this.builder.int64(part);
    return this.op('Shape', [value], { start: int(start), ...(end !== undefined && { end: int(end) }) });
  }

  /** The size of one axis as a value [1]. */
  size(value: string, axis: number): string {
    return this.shape(value, axis, axis + 1);
  }

  /** Several 1-D integer values and numbers, one behind the other. */
  vector(...parts: readonly (string | number)[]): string {
    const values = parts.map((part) => (typeof part === 'number' ? this.builder.int64([part]) : part));
    return values.length === 1 ? values[0]! : this.op('Concat', values, { axis: int(0) });
  }

  sum(a: string, axes: readonly number[], keepdims = true): string {
    return this.reduce('ReduceSum', a, axes, keepdims);
  }

  mean(a: string, axes: readonly number[], keepdims = true): string {
    return this.reduce('ReduceMean', a, axes, keepdims);
  }

  reduce(op: string, a: string, axes: readonly number[], keepdims = true): string {
    return this.op(op, [a, this.builder.int64(axes)], { keepdims: int(keepdims ? 1 : 0) });
  }

  /** `a` stretched to the shape of `like`, by numpy's rule. */
  expandLike(a: string, like: string): string {
    const target = this.context.sizes(like);
    const own = this.context.sizes(a);
    const same = target && own && own.length === target.length && own.every((dim, axis) => dim !== null && dim === target[axis]);
    return same ? a : this.op('Expand', [a, this.shape(like)]);
  }

  /** An array of one number with the shape and type of `like`. */
  constantLike(value: number, like: string): string {
    return this.constantOfShape(value, this.shape(like), this.builder.facts(like).dtype);
  }

  constantOfShape(value: number, shape: string, dtype: DType = 'float32'): string {
    const array = isFloat(dtype)
      ? fromFloat32(Float32Array.of(value), [1], dtype)
      : { dtype: 'int64', shape: [1], data: BigInt64Array.of(BigInt(value)) } as const;
    return this.op('ConstantOfShape', [shape], { value: { type: 'tensor', value: array } });
  }

  /** 1 at one index of the last axis and 0 elsewhere, in the shape of `like`. */
  oneHotLike(index: number, like: string): string {
    const { shape } = this.builder.facts(like);
    const classes = shape?.[shape.length - 1];
    if (typeof classes === 'number' && !(Number.isInteger(index) && index >= 0 && index < classes)) {
      throw new ParticlizeError({ place: like, cause: `there is no index ${index} on its last axis, which has ${classes}` });
    }
    const row = typeof classes === 'number'
      ? this.castLike(this.builder.float32(range(0, classes).map((own) => Number(own === index))), like)
      : this.mask(this.op('Equal', [this.numbersTo(this.op('Shape', [like], { start: int(-1) })), this.builder.int64([index])]), like);
    return this.op('Expand', [row, this.shape(like)]);
  }

  /**
   * The gradient of an operand that was broadcast: summed over the axes along which it was stretched. `from` is a value
   * of the gradient's shape.
   */
  sumTo(gradient: string, operand: string, from: string): string {
    const wide = this.context.sizes(from);
    const narrow = this.context.sizes(operand);
    if (!known(wide) || !known(narrow)) return this.sumToAtRunTime(gradient, operand, wide, narrow);
    const lead = wide.length - narrow.length;
    const stretched = range(lead, wide.length).filter((axis) => narrow[axis - lead] === 1 && wide[axis] !== 1);
    if (lead === 0 && stretched.length === 0) return gradient;
    if (stretched.length === 0) return this.sum(gradient, range(0, lead), false);
    const sum = this.sum(gradient, [...range(0, lead), ...stretched], true);
    return lead === 0 ? sum : this.reshapeLike(sum, operand);
  }

  private sumToAtRunTime(gradient: string, operand: string, wide: Shape | undefined, narrow: Shape | undefined): string {
    const own = this.shape(operand);
    let padded = own;
    if (!wide || !narrow) {
      const lead = this.sub(this.op('Shape', [this.op('Shape', [gradient])]), this.op('Shape', [own]));
      padded = this.vector(this.constantOfShape(1, lead, 'int64'), own);
    } else if (wide.length > narrow.length) {
      padded = this.vector(this.builder.int64(new Array<number>(wide.length - narrow.length).fill(1)), own);
    }
    const ones = this.op('Equal', [padded, this.builder.int64([1])]);
    const axes = this.reshape(this.op('NonZero', [ones]), [-1]);
    const sum = this.op('ReduceSum', [gradient, axes], { keepdims: int(1), noop_with_empty_axes: int(1) });
    return this.op('Reshape', [sum, own], { allowzero: int(1) });
  }

  /**
   * The gradient of an operator that only moves elements: `move` does to the numbers of the elements what the operator
   * does to the elements, and each gradient is added where its element came from.
   */
  scatterBack(gradient: string, x: string, move: (indices: string) => string): string {
    const numbers = this.numbersTo(this.op('Size', [x]));
    const indices = this.reshape(move(this.op('Reshape', [numbers, this.shape(x)], { allowzero: int(1) })), [-1]);
    return this.scatterAt(gradient, x, indices);
  }

  /** 0, 1, 2, ... as many as an integer value of one element says. */
  numbersTo(count: string): string {
    const scalar = this.op('Reshape', [count, this.builder.int64([], [0])]);
    return this.op('Range', [this.builder.int64([0], []), scalar, this.builder.int64([1], [])]);
  }

  /** Adds up gradients at flat places [count] of an array of the shape of x. */
  scatterAt(gradient: string, x: string, places: string, distinct = false): string {
    const { dtype } = this.builder.facts(x);
    const empty = this.constantOfShape(0, this.reshape(this.op('Size', [x]), [1]), dtype);
    const added: Record<string, Attribute> = distinct ? {} : { reduction: { type: 'string', value: 'add' } };
    const flat = this.op('ScatterElements', [empty, places, this.reshape(gradient, [-1])], { axis: int(0), ...added });
    return this.reshapeLike(flat, x);
  }

  gemm(a: string, b: string, options: { transA?: boolean; transB?: boolean; alpha?: number } = {}): string {
    return this.op('Gemm', [a, b], {
      transA: int(options.transA ? 1 : 0), transB: int(options.transB ? 1 : 0), alpha: float(options.alpha ?? 1),
    });
  }

  /** A target for Reshape that is a constant: at most one size left open. */
  private knownTarget(value: string): number[] | undefined {
    const { shape } = this.builder.facts(value);
    if (!shape || shape.includes(0)) return undefined;
    const open = shape.filter((dim) => dim === null).length;
    return open > 1 ? undefined : shape.map((dim) => dim ?? -1);
  }
}

function known(shape: Shape | undefined): shape is readonly number[] {
  return shape !== undefined && shape.every((dim: Dim) => dim !== null);
}
