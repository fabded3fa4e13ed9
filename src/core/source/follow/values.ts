import type { Framework, Span } from '../definition';
import type { CallNode, Expression, NumberNode, Scope } from '../program';

/** What an expression is worth while code is followed. Lists, dictionaries and instances change as the code says. */
export type Value =
  | NumberValue | TextValue | ConstantValue | ListValue | DictValue | FunctionValue | ClassValue | InstanceValue
  | ModuleValue | ContainerValue | NativeValue | MethodValue | SuperValue | PartialValue | TensorValue | UnknownValue;

export interface NumberValue {
  readonly kind: 'number';
  readonly value: number;
  /** The literal that it is, when it came here through names alone. */
  readonly literal?: NumberNode;
  /** All literals that it was computed from. */
  readonly reads: ReadonlySet<NumberNode>;
}
export interface TextValue { readonly kind: 'string'; readonly value: string }
export interface ConstantValue { readonly kind: 'constant'; readonly value: boolean | null }
export interface ListValue {
  readonly kind: 'list';
  readonly items: Value[];
  /** Its items stand for any number of their kind: made in a loop whose length is not known. */
  open?: boolean;
}
export interface DictValue { readonly kind: 'dict'; readonly entries: Map<string, Value>; readonly parser?: boolean }
export interface FunctionValue {
  readonly kind: 'function';
  readonly scope: Scope;
  readonly env: Environment;
  readonly self?: Value;
  readonly owner?: ClassValue;
  /** Of a lambda. */
  readonly body?: Expression;
}
export interface ClassValue { readonly kind: 'class'; readonly scope: Scope; readonly env: Environment; readonly bases: readonly Value[] }
export interface InstanceValue {
  readonly kind: 'instance';
  readonly type: ClassValue;
  readonly fields: Map<string, Value>;
  /** Members given to a base class that is a container. */
  container?: ContainerValue;
}
/** A layer of a framework. */
export interface ModuleValue {
  readonly kind: 'module';
  readonly framework: Framework;
  /** 'Conv2d' */
  readonly type: string;
  readonly call: CallNode;
  readonly positional: readonly Value[];
  readonly keywords: ReadonlyMap<string, Value>;
}
export interface ContainerValue {
  readonly kind: 'container';
  readonly type: 'Sequential' | 'ModuleList' | 'ModuleDict';
  readonly children: Map<string, Value>;
  readonly call: CallNode;
}
/** Something imported, by its full name. */
export interface NativeValue { readonly kind: 'native'; readonly name: string }
/** A method of a value of this interpreter. */
export interface MethodValue { readonly kind: 'method'; readonly object: Value; readonly name: string }
export interface SuperValue { readonly kind: 'super'; readonly self: Value; readonly owner: ClassValue }
export interface PartialValue {
  readonly kind: 'partial';
  readonly callee: Value;
  readonly positional: readonly Value[];
  readonly keywords: ReadonlyMap<string, Value>;
}
/** A value of the graph that is being made, by its name. */
export interface TensorValue { readonly kind: 'tensor'; readonly name: string }
export interface UnknownValue { readonly kind: 'unknown'; readonly reason: string; readonly place: Span }

/** Names and their values, inside those of what is around. */
export class Environment {
  readonly values = new Map<string, Value>();

  constructor(readonly parent?: Environment, readonly isClass = false) {}

  /** Names of a class are not seen from inside its functions. */
  find(name: string): Value | undefined {
    const own = this.values.get(name);
    if (own) return own;
    for (let one = this.parent; one; one = one.parent) {
      const found = one.isClass ? undefined : one.values.get(name);
      if (found) return found;
    }
    return undefined;
  }
}

export const nothing: ConstantValue = { kind: 'constant', value: null };
const noReads: ReadonlySet<NumberNode> = new Set();

export function numberValue(value: number, ...from: readonly Value[]): NumberValue {
  const read = from.filter((one) => one.kind === 'number' && one.reads.size > 0) as NumberValue[];
  if (read.length === 0) return { kind: 'number', value, reads: noReads };
  return { kind: 'number', value, reads: read.length === 1 ? read[0]!.reads : new Set(read.flatMap((one) => [...one.reads])) };
}

export function literalValue(value: number, literal: NumberNode): NumberValue {
  return { kind: 'number', value, literal, reads: new Set([literal]) };
}

export function listValue(items: Value[], open = false): ListValue {
  return open ? { kind: 'list', items, open } : { kind: 'list', items };
}

export function unknownValue(reason: string, { start, end }: Span): UnknownValue {
  return { kind: 'unknown', reason, place: { start, end } };
}

/** Whether a condition holds; undefined when that is not known. */
export function truth(value: Value): boolean | undefined {
  switch (value.kind) {
    case 'number': return value.value !== 0;
    case 'string': return value.value !== '';
    case 'constant': return value.value === true;
    case 'list': return value.open ? undefined : value.items.length > 0;
    case 'dict': return value.entries.size > 0;
    case 'tensor': case 'unknown': return undefined;
    default: return true;
  }
}

export function numbersOf(value: Value | undefined): readonly number[] | undefined {
  if (value?.kind === 'number') return [value.value];
  if (value?.kind !== 'list' || value.open) return undefined;
  const numbers = value.items.map((item) => (item.kind === 'number' ? item.value : Number.NaN));
  return numbers.some(Number.isNaN) ? undefined : numbers;
}
