import type { Span } from '../definition';
import type { Expression, OtherNode } from '../program';
import { compare } from './builtins';
import { textOf, type Interpreter } from './interpreter';
import { Environment, listValue, truth, unknownValue, type Value } from './values';

/** Comparisons, conditions, comprehensions and texts with values in them. */
export function evaluateOther(follow: Interpreter, expression: OtherNode, env: Environment): Value {
  const { form } = expression;
  switch (form?.kind) {
    case 'comparison': {
      const operands = form.operands.map((one) => follow.evaluate(one, env));
      let all: boolean | undefined = true;
      form.operators.forEach((operator, index) => {
        const one = compare(follow, operator, operands[index]!, operands[index + 1]!);
        all = all === false || one === false ? false : one === undefined ? undefined : all;
      });
      return all === undefined ? unknownValue('the comparison depends on what is not known', expression) : { kind: 'constant', value: all };
    }
    case 'logic': return evaluateLogic(follow, form.operator, form.operands, env, expression);
    case 'conditional': {
      const test = follow.evaluate(form.test, env);
      const holds = truth(test);
      if (holds === undefined) {
        follow.hooks.undecided?.(test, expression);
        return test.kind === 'unknown' ? test : unknownValue('it depends on a condition that is not known', expression);
      }
      return follow.evaluate(holds ? form.then : form.otherwise, env);
    }
    case 'lambda': return { kind: 'function', scope: form.scope, env, body: form.body };
    case 'comprehension': return comprehension(follow, form, env, expression);
    case 'format': {
      const pieces = form.pieces.map((piece) => (typeof piece === 'string' ? piece : textOf(follow.evaluate(piece, env))));
      return pieces.some((piece) => piece === undefined) ? unknownValue('the text depends on what is not known', expression) : { kind: 'string', value: pieces.join('') };
    }
    default: return unknownValue('it cannot be read off the code', expression);
  }
}

function evaluateLogic(follow: Interpreter, operator: string, operands: readonly Expression[], env: Environment, at: Span): Value {
  const first = follow.evaluate(operands[0]!, env);
  const holds = truth(first);
  if (operator === 'not') return holds === undefined ? unknownValue('the condition is not known', at) : { kind: 'constant', value: !holds };
  const decides = operator === 'or';
  if (holds === decides) return first;
  const second = follow.evaluate(operands[1]!, env);
  if (holds !== undefined) return second;
  return truth(second) === decides ? second : unknownValue('the condition is not known', at);
}

function comprehension(follow: Interpreter, form: NonNullable<OtherNode['form']> & { kind: 'comprehension' }, env: Environment, at: Span): Value {
  const inner = new Environment(env);
  const items: Value[] = [];
  const entries = new Map<string, Value>();
  let open = false;
  const clause = (index: number): void => {
    const one = form.clauses[index];
    if (!one) {
      const value = follow.evaluate(form.element, inner);
      if (form.key) {
        const key = textOf(follow.evaluate(form.key, inner));
        if (key !== undefined) entries.set(key, value);
      } else items.push(value);
      return;
    }
    const iterable = follow.evaluate(one.iterable, inner);
    const known = follow.itemsOf(iterable);
    if (!known || known.open) open = true;
    follow.open += known && !known.open ? 0 : 1;
    for (const item of known?.items ?? [unknownValue('it changes in a loop whose length is not known', one.iterable)]) {
      follow.tick();
      follow.assign(one.target, item, inner, at);
      if (one.tests.every((test) => truth(follow.evaluate(test, inner)) !== false)) clause(index + 1);
    }
    follow.open -= known && !known.open ? 0 : 1;
  };
  clause(0);
  return form.key ? { kind: 'dict', entries } : listValue(items, open);
}

export function evaluateDict(follow: Interpreter, expression: Expression & { kind: 'dict' }, env: Environment): Value {
  const entries = new Map<string, Value>();
  for (const { key, value } of expression.entries) {
    const found = follow.evaluate(value.kind === 'spread' ? value.operand : value, env);
    if (key) {
      const name = textOf(follow.evaluate(key, env));
      if (name !== undefined) entries.set(name, found);
    } else if (found.kind === 'dict') found.entries.forEach((one, name) => entries.set(name, one));
  }
  return { kind: 'dict', entries };
}

export function listItems(follow: Interpreter, expressions: readonly Expression[], env: Environment): [items: Value[], open: boolean] {
  const items: Value[] = [];
  let open = false;
  for (const one of expressions) {
    if (one.kind !== 'spread') {
      items.push(follow.evaluate(one, env));
      continue;
    }
    const inside = follow.evaluate(one.operand, env);
    const known = follow.itemsOf(inside);
    if (known) items.push(...known.items);
    if (!known || known.open) open = true;
  }
  return [items, open];
}
