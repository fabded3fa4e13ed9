import { evaluate, keyOf, type Overrides } from './evaluateExpression';
import type { AnalysedSource } from './findDefinitions';
import type { CallNode, Expression, NumberNode } from './program';
import { isReference } from './scopes';
import type { Use } from './uses';
import type { SizeTarget } from './wantedSizes';

/** An expression that is to be written as a number. */
export interface Replacement {
  readonly expression: Expression;
  readonly value: number;
  /** The sizes that it is for. */
  readonly targets: readonly SizeTarget[];
}

/**
 * The fewest and least surprising numbers to write so that every size is what it has to be. A constant is edited where
 * it is defined when that is right for all its uses; else the call is; in a product the factor that counts channels.
 */
export function solveSizes(source: AnalysedSource, targets: readonly SizeTarget[]): Replacement[] {
  const wanted = new Map<NumberNode, number>();
  for (const target of targets) {
    const { literal } = evaluate(target.expression, source.scopes);
    if (literal && target.wanted !== target.current) wanted.set(literal, target.wanted);
  }
  const accepted = settle(source, targets, wanted);
  const replacements = new Map<string, { expression: Expression; value: number }>();
  for (const target of targets) {
    if (evaluate(target.expression, source.scopes, overridesOf(accepted, replacements)).value === target.wanted) continue;
    const byDefinition = editDefinition(source, targets, target, accepted, replacements);
    if (byDefinition) accepted.set(...byDefinition);
    else {
      const call = editCall(source, targets, target, overridesOf(accepted, replacements));
      replacements.set(keyOf(call.expression), call);
    }
  }
  const all = [...[...accepted].map(([expression, value]) => ({ expression, value })), ...replacements.values()];
  return all
    .map(({ expression, value }) => ({ expression, value, targets: targetsOf(source, targets, expression) }))
    .sort((a, b) => a.expression.start - b.expression.start);
}

/** Takes back edits of literals until every size and every other use agrees with those that are left. */
function settle(source: AnalysedSource, targets: readonly SizeTarget[], wanted: ReadonlyMap<NumberNode, number>): Map<NumberNode, number> {
  const accepted = new Map([...wanted].filter(([literal]) => (source.uses.get(literal) ?? []).every((use) => follows(use, source, targets))));
  for (let changed = true; changed; ) {
    changed = false;
    const overrides = overridesOf(accepted);
    for (const target of targets) {
      const { reads } = evaluate(target.expression, source.scopes);
      const touched = [...reads].filter((literal) => accepted.has(literal));
      if (touched.length === 0 || evaluate(target.expression, source.scopes, overrides).value === target.wanted) continue;
      // `32 * CHANNELS`: what is written in the call itself can still be solved there.
      const constants = touched.filter((literal) => !within(literal, target.expression));
      if (constants.length === 0) continue;
      constants.forEach((literal) => accepted.delete(literal));
      changed = true;
    }
  }
  return accepted;
}

/** `base * 2` by the definition of `base`, when nothing else minds. */
function editDefinition(
  source: AnalysedSource,
  targets: readonly SizeTarget[],
  target: SizeTarget,
  accepted: ReadonlyMap<NumberNode, number>,
  replacements: ReadonlyMap<string, { expression: Expression; value: number }>,
): [NumberNode, number] | undefined {
  const overrides = overridesOf(accepted, replacements);
  if (inPlace(target, targets, solutions(target.expression, target.wanted, source, overrides))) return undefined;
  for (const [literal, value] of definitionsBehind(target.expression, target.wanted, source, overrides)) {
    if (accepted.has(literal)) continue;
    const trial = new Map([...accepted, [literal, value]] as const);
    const settled = settle(source, targets, trial);
    const after = overridesOf(settled, replacements);
    const kept = settled.size === trial.size && evaluate(target.expression, source.scopes, after).value === target.wanted;
    if (kept) return [literal, value];
  }
  return undefined;
}

/** Literals outside an expression that alone would make it worth `wanted`, through names and their arithmetic. */
function definitionsBehind(expression: Expression, wanted: number, source: AnalysedSource, overrides: Overrides, depth = 0): [NumberNode, number][] {
  return solutions(expression, wanted, source, overrides).flatMap(({ leaf, value }): [NumberNode, number][] => {
    if (leaf.kind === 'number') return depth > 0 ? [[leaf, value]] : [];
    const { literal } = evaluate(leaf, source.scopes);
    if (literal) return [[literal, value]];
    const resolution = source.scopes.resolveFully(leaf);
    return resolution.kind === 'expression' && depth < 4 ? definitionsBehind(resolution.expression, value, source, overrides, depth + 1) : [];
  });
}

/** What to write in the call: the factor that counts channels, else the whole size as a number. */
function editCall(
  source: AnalysedSource,
  targets: readonly SizeTarget[],
  target: SizeTarget,
  overrides: Overrides,
): { expression: Expression; value: number } {
  const found = solutions(target.expression, target.wanted, source, overrides);
  const literal = inPlace(target, targets, found);
  if (literal) return literal;
  const channels = found.find((one) => isReference(one.leaf) && countsChannels(one, source, targets));
  if (channels) return { expression: channels.leaf, value: channels.value };
  // `64 * 2` stays a product of literals.
  const largest = found
    .filter(({ leaf }) => leaf.kind === 'number')
    .sort((a, b) => numberOf(b.leaf) - numberOf(a.leaf))[0];
  const onlyLiterals = largest && !found.some(({ leaf }) => isReference(leaf)) && evaluate(target.expression, source.scopes).reads.size === countNumbers(target.expression);
  if (largest && onlyLiterals) return { expression: largest.leaf, value: largest.value };
  return { expression: target.expression, value: target.wanted };
}

/** A number written in the size itself that was the width of a layer before and becomes its width after. */
function inPlace(target: SizeTarget, targets: readonly SizeTarget[], found: readonly Solution[]): { expression: Expression; value: number } | undefined {
  const literal = found.find(({ leaf, value }) => leaf.kind === 'number' &&
    (leaf === target.expression || targets.some((one) => one.role === 'width' && one.current === leaf.value && one.wanted === value)));
  return literal ? { expression: literal.leaf, value: literal.value } : undefined;
}

interface Solution {
  /** A number or a reference inside the expression. */
  readonly leaf: Expression;
  readonly value: number;
}

/** Every single part of an expression that would make it worth `wanted`, with the whole number that it would have to be. */
function solutions(expression: Expression, wanted: number, source: AnalysedSource, overrides: Overrides): Solution[] {
  const valueOf = (one: Expression) => evaluate(one, source.scopes, overrides).value;
  const solve = (one: Expression, target: number): Solution[] => {
    if (one.kind === 'number' || isReference(one)) return [{ leaf: one, value: target }];
    if (one.kind === 'unary' && one.operator === '-') return solve(one.operand, -target);
    if (one.kind === 'call' && one.arguments.length === 1) return solve(one.arguments[0]!.value, target);
    if (one.kind !== 'binary') return [];
    const [left, right] = [valueOf(one.left), valueOf(one.right)];
    if (typeof left !== 'number' || typeof right !== 'number') return [];
    switch (one.operator) {
      case '+': return [...solve(one.left, target - right), ...solve(one.right, target - left)];
      case '-': return [...solve(one.left, target + right), ...solve(one.right, left - target)];
      case '*': return [...solve(one.left, target / right), ...solve(one.right, target / left)];
      case '/': case '//': return solve(one.left, target * right);
      default: return [];
    }
  };
  return solve(expression, wanted).filter(({ leaf, value }) => {
    if (!Number.isInteger(value) || value < 1) return false;
    return evaluate(expression, source.scopes, new Map([...overrides, [keyOf(leaf), value]])).value === wanted;
  });
}

function countsChannels({ leaf, value }: Solution, source: AnalysedSource, targets: readonly SizeTarget[]): boolean {
  const before = evaluate(leaf, source.scopes).value;
  return targets.some((one) => one.role === 'width' && one.current === before && one.wanted === value);
}

/**
 * Whether a use may change with the constant: a size that is checked by itself, a reshape, a message. Anything else (an
 * image size, a kernel size, an unknown function) keeps the constant as it is.
 */
function follows({ reference, around, statement }: Use, source: AnalysedSource, targets: readonly SizeTarget[]): boolean {
  const within = targets.some(({ expression }) => expression === reference || around.includes(expression));
  if (within) return true;
  // A normalisation that the model has folded away.
  if (source.layers.some(({ found }) => found.sizes.some(({ expression }) => expression === reference || around.includes(expression)))) return true;
  for (let index = around.length - 1; index >= 0; index--) {
    const outer = around[index]!;
    if (outer.kind === 'other' && (outer.type === 'string' || outer.type === 'template_string')) return true;
    if (outer.kind !== 'call') continue;
    return following.has(calleeName(outer)) || source.scopes.called(outer) !== undefined;
  }
  // `return { width: this.width }`, a comparison in an assertion.
  return statement.kind === 'return' || statement.kind === 'expression';
}

const following = new Set([
  'view', 'reshape', 'unflatten', 'Reshape', 'Unflatten', 'print', 'log', 'info', 'debug', 'warn', 'warning', 'error', 'format', 'str', 'String', '__init__', 'dict',
]);

function calleeName({ callee }: CallNode): string {
  return callee.kind === 'name' || callee.kind === 'member' ? callee.name : '';
}

function targetsOf(source: AnalysedSource, targets: readonly SizeTarget[], expression: Expression): SizeTarget[] {
  const inside = targets.filter((target) => within(expression, target.expression));
  if (inside.length > 0) return inside;
  return targets.filter((target) => [...evaluate(target.expression, source.scopes).reads].some((literal) => literal === expression));
}

function overridesOf(literals: ReadonlyMap<NumberNode, number>, replacements?: ReadonlyMap<string, { value: number }>): Overrides {
  const overrides = new Map([...literals].map(([literal, value]) => [keyOf(literal), value]));
  for (const [key, { value }] of replacements ?? []) overrides.set(key, value);
  return overrides;
}

function within(inner: Expression, outer: Expression): boolean {
  return outer.start <= inner.start && inner.end <= outer.end;
}

function numberOf(expression: Expression): number {
  return expression.kind === 'number' ? expression.value : 0;
}

function countNumbers(expression: Expression): number {
  if (expression.kind === 'number') return 1;
  if (expression.kind === 'binary') return countNumbers(expression.left) + countNumbers(expression.right);
  return expression.kind === 'unary' ? countNumbers(expression.operand) : 0;
}
