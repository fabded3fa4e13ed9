import type { Expression, NumberNode } from './program';
import type { Scopes } from './scopes';

/** What an expression is worth, as far as that follows from the file without running it. */
export interface Evaluated {
  readonly value?: number | string | boolean | null;
  /** The number literal that it stands for, when it does so through names alone. */
  readonly literal?: NumberNode;
  /** All number literals that it depends on. */
  readonly reads: ReadonlySet<NumberNode>;
  /** Why there is no value, or no single literal. */
  readonly reason?: string;
}

/** Numbers that take the place of expressions, by `keyOf`: what the file would say after an edit. */
export type Overrides = ReadonlyMap<string, number>;

const none: ReadonlySet<NumberNode> = new Set();
const circle: Evaluated = { reads: none, reason: 'its definition goes in a circle' };
const deepest = 300;

export function keyOf(expression: { readonly start: number; readonly end: number }): string {
  return `${expression.start}:${expression.end}`;
}

/** Values found once, of a file as it is and of the file after an edit. */
const values = new WeakMap<Scopes | Overrides, Map<Expression, Evaluated>>();

export function evaluate(expression: Expression, scopes: Scopes, overrides?: Overrides): Evaluated {
  const key = overrides ?? scopes;
  let known = values.get(key);
  if (!known) values.set(key, (known = new Map()));
  return evaluateAt(expression, scopes, overrides, known, 0);
}

function evaluateAt(
  expression: Expression, scopes: Scopes, overrides: Overrides | undefined, known: Map<Expression, Evaluated>, depth: number,
): Evaluated {
  const before = known.get(expression);
  if (before) return before;
  // What comes back here while it is being found goes in a circle.
  known.set(expression, circle);
  const inner = (one: Expression) => evaluateAt(one, scopes, overrides, known, depth + 1);
  const value = depth > deepest ? circle : evaluateKind(expression, scopes, overrides, inner);
  known.set(expression, value);
  return value;
}

function evaluateKind(
  expression: Expression, scopes: Scopes, overrides: Overrides | undefined, inner: (one: Expression) => Evaluated,
): Evaluated {
  const replaced = overrides?.get(keyOf(expression));
  if (replaced !== undefined && expression.kind !== 'number') return { value: replaced, reads: none };
  switch (expression.kind) {
    case 'number': return { value: replaced ?? expression.value, literal: expression, reads: new Set([expression]) };
    case 'string': case 'constant': return { value: expression.value, reads: none };
    case 'unary': {
      const { value, reads, reason } = inner(expression.operand);
      if (typeof value !== 'number') return { reads, reason: reason ?? 'it is not a number' };
      if (expression.operator === '-') return { value: -value, reads };
      return expression.operator === '+' ? { value, reads } : { reads, reason: `"${expression.operator}" is not followed` };
    }
    case 'binary': return combine(expression.operator, inner(expression.left), inner(expression.right));
    case 'call': return evaluateCall(expression, scopes, inner);
    case 'name': case 'member': case 'subscript': return evaluateReference(expression, scopes, inner);
    default: return { reads: none, reason: 'it is not a number that can be read off the code' };
  }
}

/** Literals inside a list or dictionary, which whoever takes the whole of it depends on. */
export function literalsWithin(expression: Expression, scopes: Scopes): ReadonlySet<NumberNode> {
  const literals = new Set<NumberNode>();
  const seen = new Set<Expression>();
  for (const open = [expression]; open.length > 0; ) {
    const resolution = scopes.resolveFully(open.pop()!);
    if (resolution.kind !== 'expression' || seen.has(resolution.expression)) continue;
    const found = resolution.expression;
    seen.add(found);
    if (found.kind === 'number') literals.add(found);
    else if (found.kind === 'list') open.push(...found.items);
    else if (found.kind === 'dict') open.push(...found.entries.map((entry) => entry.value));
  }
  return literals;
}

function evaluateReference(expression: Expression, scopes: Scopes, inner: (one: Expression) => Evaluated): Evaluated {
  const resolution = scopes.resolve(expression);
  switch (resolution.kind) {
    case 'expression': return inner(resolution.expression);
    case 'several': {
      const all = resolution.expressions.map(inner);
      const reads = new Set(all.flatMap((one) => [...one.reads]));
      const [first] = all;
      const same = first?.value !== undefined && all.every((one) => one.value === first.value);
      if (!same) return { reads, reason: resolution.reason };
      const oneLiteral = first.literal && all.every((one) => one.literal === first.literal);
      return oneLiteral ? { ...first, reads } : { value: first.value, reads, reason: resolution.reason };
    }
    case 'unknown': return { reads: none, reason: resolution.reason };
    default: return { reads: none, reason: 'it is not a number' };
  }
}

function combine(operator: string, left: Evaluated, right: Evaluated): Evaluated {
  const reads = new Set([...left.reads, ...right.reads]);
  const [a, b] = [left.value, right.value];
  if (typeof a === 'string' && typeof b === 'string' && operator === '+') return { value: a + b, reads };
  if (typeof a !== 'number' || typeof b !== 'number') return { reads, reason: left.reason ?? right.reason ?? 'it is not a number' };
  const value = compute(operator, a, b);
  return value === undefined || !Number.isFinite(value) ? { reads, reason: `"${operator}" is not followed` } : { value, reads };
}

/** What Python and JavaScript code makes of two numbers; undefined for operators that are not arithmetic. */
export function compute(operator: string, a: number, b: number): number | undefined {
  switch (operator) {
    case '+': return a + b;
    case '-': return a - b;
    case '*': return a * b;
    case '/': return a / b;
    case '//': return Math.floor(a / b);
    case '%': return a - b * Math.floor(a / b);
    case '**': return a ** b;
    case '<<': return a * 2 ** b;
    case '>>': return Math.floor(a / 2 ** b);
    default: return undefined;
  }
}

const numeric: Readonly<Record<string, ((...values: number[]) => number) | undefined>> = {
  int: Math.trunc, abs: Math.abs, max: Math.max, min: Math.min, round: Math.round,
  'math.floor': Math.floor, 'math.ceil': Math.ceil,
  'Math.floor': Math.floor, 'Math.ceil': Math.ceil, 'Math.round': Math.round, 'Math.trunc': Math.trunc,
  'Math.max': Math.max, 'Math.min': Math.min, Number: Number,
};

function evaluateCall(
  expression: Expression & { kind: 'call' },
  scopes: Scopes,
  inner: (one: Expression) => Evaluated,
): Evaluated {
  const name = scopes.qualifiedName(expression.callee) ?? '';
  const given = expression.arguments.map((argument) => argument.value);
  if (name === 'len' && given[0]) {
    const whole = scopes.resolveFully(given[0]);
    if (whole.kind === 'expression' && whole.expression.kind === 'list') return { value: whole.expression.items.length, reads: none };
  }
  const apply = Object.hasOwn(numeric, name) ? numeric[name] : undefined;
  const all = apply ? given.map(inner) : [];
  const numbers = all.flatMap((one) => (typeof one.value === 'number' ? [one.value] : []));
  if (!apply || numbers.length !== given.length || numbers.length === 0) {
    // What the call makes of its arguments is unknown; they are uses of their own.
    return { reads: none, reason: 'it is the result of a call, which is not run' };
  }
  const reads = new Set(all.flatMap((one) => [...one.reads]));
  return { value: apply(...numbers), reads };
}
