import { evaluate, literalsWithin } from './evaluateExpression';
import { forEachExpression, type Expression, type NumberNode, type Statement } from './program';
import { isReference, type Scopes } from './scopes';

/** A place that reads a number which is written elsewhere. */
export interface Use {
  /** The whole reference: `config.filters`, not `config`. */
  readonly reference: Expression;
  /** The expressions around it, outermost first. */
  readonly around: readonly Expression[];
  readonly statement: Statement;
}

/**
 * For every number literal the references that depend on it. What only hands a value on (`self.width = width`, an
 * argument of a function of this file) is not a use: the uses of the new name are.
 */
export function findUses(scopes: Scopes): ReadonlyMap<NumberNode, readonly Use[]> {
  const uses = new Map<NumberNode, Use[]>();
  const seen = new Set<string>();
  forEachExpression(scopes.program, (reference, around, statement) => {
    if (!isReference(reference) || isPartOfReference(reference, around, scopes) || handsOn(reference, around, statement, scopes)) return;
    const { reads, value } = evaluate(reference, scopes);
    const literals = value === undefined && reads.size === 0 ? literalsWithin(reference, scopes) : reads;
    if (literals.size === 0) return;
    // `a = b = 16` and functional calls visit some expressions more than once.
    const key = `${reference.start}:${reference.end}`;
    if (seen.has(key)) return;
    seen.add(key);
    for (const literal of literals) {
      const list = uses.get(literal);
      const use: Use = { reference, around: [...around], statement };
      if (list) list.push(use);
      else uses.set(literal, [use]);
    }
  });
  return uses;
}

/** `config` in `config.filters` is no use of its own, when the whole of it leads to a value. */
function isPartOfReference(reference: Expression, around: readonly Expression[], scopes: Scopes): boolean {
  const outer = around.at(-1);
  if (!outer || (outer.kind !== 'member' && outer.kind !== 'subscript') || outer.object !== reference) return false;
  return scopes.resolve(outer).kind !== 'unknown';
}

function handsOn(reference: Expression, around: readonly Expression[], statement: Statement, scopes: Scopes): boolean {
  const outer = around.at(-1);
  const call = outer?.kind === 'spread' ? around.at(-2) : outer;
  if (call?.kind === 'call') return call.callee !== reference && scopes.called(call) !== undefined;
  const bound = statement.kind === 'assign' || statement.kind === 'default';
  // Arithmetic on the way to a name is followed by the name's own uses as well.
  return bound && around.every((one) => one.kind === 'binary' || one.kind === 'unary' || one.kind === 'list' || one.kind === 'dict');
}
