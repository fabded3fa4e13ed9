import { compute } from '../evaluateExpression';
import type { Span } from '../definition';
import type { Expression } from '../program';
import { childNames, textOf, TooMuch, type Arguments, type Interpreter } from './interpreter';
import { listValue, nothing, numbersOf, numberValue, truth, unknownValue, type ContainerValue, type Value } from './values';

const mostItems = 4_096;

/** Python's own functions, as far as definitions of models use them; undefined for any other name. */
export function callBuiltin(follow: Interpreter, name: string, given: Arguments, at: Span): Value | undefined {
  const [first, second] = given.positional;
  const text = (value: string): Value => ({ kind: 'string', value });
  switch (name) {
    case 'range': {
      const numbers = given.positional.map((one) => (one.kind === 'number' ? one.value : Number.NaN));
      if (numbers.length === 0 || numbers.some(Number.isNaN)) return listValue([unknownValue('it counts a loop whose length is not known', at)], true);
      const [from, to, by] = numbers.length === 1 ? [0, numbers[0]!, 1] : [numbers[0]!, numbers[1]!, numbers[2] ?? 1];
      const count = Math.max(0, Math.ceil((to - from) / by));
      if (!Number.isFinite(count) || count > mostItems) throw new TooMuch();
      return listValue(Array.from({ length: count }, (_, index) => numberValue(from + index * by)));
    }
    case 'len': {
      const known = first && follow.itemsOf(first);
      return known && !known.open ? numberValue(known.items.length) : undefined;
    }
    case 'enumerate': {
      const known = first && follow.itemsOf(first);
      const start = second ?? given.keywords.get('start');
      const from = start?.kind === 'number' ? start.value : 0;
      return known && listValue(known.items.map((item, index) => listValue([known.open ? unknownValue('it counts a loop whose length is not known', at) : numberValue(from + index), item])), known.open);
    }
    case 'zip': {
      const known = given.positional.map((one) => follow.itemsOf(one));
      if (known.length === 0 || known.some((one) => !one)) return undefined;
      const length = Math.min(...known.map((one) => one!.items.length));
      return listValue(Array.from({ length }, (_, index) => listValue(known.map((one) => one!.items[index]!))), known.some((one) => one!.open));
    }
    case 'list': case 'tuple': case 'set': case 'iter': {
      if (!first) return listValue([]);
      const known = follow.itemsOf(first);
      return known && listValue([...known.items], known.open);
    }
    case 'reversed': {
      const known = first && follow.itemsOf(first);
      return known && listValue([...known.items].reverse(), known.open);
    }
    case 'dict': case 'OrderedDict': case 'collections.OrderedDict': case 'SimpleNamespace': case 'types.SimpleNamespace': case 'argparse.Namespace': case 'EasyDict': {
      const entries = new Map<string, Value>();
      if (first?.kind === 'dict') first.entries.forEach((value, key) => entries.set(key, value));
      else if (first?.kind === 'list') {
        for (const pair of first.items) {
          const key = pair.kind === 'list' && pair.items[0] ? textOf(pair.items[0]) : undefined;
          if (key !== undefined && pair.kind === 'list' && pair.items[1]) entries.set(key, pair.items[1]);
        }
      } else if (first) return undefined;
      given.keywords.forEach((value, key) => entries.set(key, value));
      return { kind: 'dict', entries };
    }
    case 'argparse.ArgumentParser': case 'ArgumentParser': return { kind: 'dict', entries: new Map(), parser: true };
    case 'str': { const value = first && textOf(first); return value === undefined ? undefined : text(value); }
    case 'print': case 'setattr': case 'warnings.warn':
      if (name === 'setattr' && first?.kind === 'instance' && second?.kind === 'string' && given.positional[2]) first.fields.set(second.value, given.positional[2]);
      return nothing;
    case 'getattr': return first && second?.kind === 'string' ? follow.memberOf(first, second.value, at) : undefined;
    case 'hasattr': return first?.kind === 'instance' && second?.kind === 'string'
      ? { kind: 'constant', value: first.fields.has(second.value) || follow.inherited(first.type, second.value) !== undefined } : undefined;
    case 'isinstance': return first && second ? isInstance(first, second) : undefined;
    case 'partial': case 'functools.partial':
      return first && { kind: 'partial', callee: first, positional: given.positional.slice(1), keywords: given.keywords };
    case 'copy.deepcopy': case 'deepcopy': case 'copy.copy': return first && copied(first);
    case 'sum': case 'max': case 'min': case 'math.prod': case 'np.prod': case 'numpy.prod': {
      const values = given.positional.length === 1 && first ? (follow.itemsOf(first)?.items ?? []) : given.positional;
      const numbers = values.map((one) => (one.kind === 'number' ? one.value : Number.NaN));
      if (numbers.length === 0 || numbers.some(Number.isNaN)) return undefined;
      const result = name === 'sum' ? numbers.reduce((a, b) => a + b, 0) : name === 'max' ? Math.max(...numbers)
        : name === 'min' ? Math.min(...numbers) : numbers.reduce((a, b) => a * b, 1);
      return numberValue(result, ...values);
    }
    case 'bool': { const holds = first && truth(first); return holds === undefined ? undefined : { kind: 'constant', value: holds }; }
    default: {
      const apply = Object.hasOwn(functions, name) ? functions[name] : undefined;
      const numbers = given.positional.map((one) => (one.kind === 'number' ? one.value : Number.NaN));
      if (!apply || numbers.length === 0 || numbers.some(Number.isNaN)) return undefined;
      const only = given.positional[0];
      const result = apply(...numbers);
      return only?.kind === 'number' && result === only.value && numbers.length === 1 ? only : numberValue(result, ...given.positional);
    }
  }
}

const functions: Readonly<Record<string, ((...numbers: number[]) => number) | undefined>> = {
  int: Math.trunc, float: (one) => one, abs: Math.abs, round: roundEven, 'math.floor': Math.floor, 'math.ceil': Math.ceil, 'math.sqrt': Math.sqrt,
  'math.log2': Math.log2, 'math.log': Math.log, 'math.pow': Math.pow, pow: Math.pow,
};

function roundEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

/** Methods of lists, dictionaries, texts and containers; undefined for what is not followed. */
export function callMethod(follow: Interpreter, object: Value, name: string, given: Arguments, at: Span): Value | undefined {
  const [first, second] = given.positional;
  // `.to(device)`, `.cuda()`: what comes back is the model itself.
  if ((object.kind === 'module' || object.kind === 'container' || object.kind === 'instance') && keeping.has(name)) return object;
  switch (object.kind) {
    case 'list': return listMethod(follow, object, name, given);
    case 'dict': {
      if (object.parser) return parserMethod(object.entries, name, given, object);
      switch (name) {
        case 'get': case 'pop': case 'setdefault': {
          const key = first && textOf(first);
          return key === undefined ? undefined : (object.entries.get(key) ?? second ?? nothing);
        }
        case 'items': return listValue([...object.entries].map(([key, value]) => listValue([{ kind: 'string', value: key }, value])));
        case 'keys': return listValue([...object.entries.keys()].map((key): Value => ({ kind: 'string', value: key })));
        case 'values': return listValue([...object.entries.values()]);
        case 'copy': return { kind: 'dict', entries: new Map(object.entries) };
        case 'update':
          if (first?.kind === 'dict') first.entries.forEach((value, key) => object.entries.set(key, value));
          given.keywords.forEach((value, key) => object.entries.set(key, value));
          return nothing;
        default: return undefined;
      }
    }
    case 'string':
      if (name === 'format') return formatted(object.value, given);
      if (name === 'lower') return { kind: 'string', value: object.value.toLowerCase() };
      if (name === 'upper') return { kind: 'string', value: object.value.toUpperCase() };
      if (name === 'split' && first?.kind === 'string' && first.value) return listValue(object.value.split(first.value).map((value): Value => ({ kind: 'string', value })));
      return undefined;
    case 'container': return containerMethod(follow, object, name, given);
    case 'instance':
      if ((name === 'add_module' || name === 'register_module') && first && second) {
        const key = textOf(first);
        if (key !== undefined) (object.container?.children ?? object.fields).set(key, second);
        return nothing;
      }
      return object.container ? containerMethod(follow, object.container, name, given) : undefined;
    case 'super':
      if (name === '__init__' && object.self.kind === 'instance' && 'kind' in at) {
        const native = follow.nativeBases(object.owner).find((one) => /\bSequential$|\bModuleList$|\bModuleDict$/.test(one));
        if (native) follow.baseContainer(object.self, native, given, at as Expression & { kind: 'call' });
        return nothing;
      }
      return name === '__init__' ? nothing : undefined;
    default: return undefined;
  }
}

const keeping = new Set(['to', 'cuda', 'cpu', 'eval', 'train', 'double', 'float', 'half', 'apply', 'requires_grad_', 'share_memory']);

function listMethod(follow: Interpreter, list: Value & { kind: 'list' }, name: string, { positional: [first, second] }: Arguments): Value | undefined {
  if (follow.isOpen && (name === 'append' || name === 'extend' || name === 'insert')) list.open = true;
  switch (name) {
    case 'append': if (first) list.items.push(first); break;
    case 'extend': {
      const known = first && follow.itemsOf(first);
      if (!known || known.open) list.open = true;
      if (known) list.items.push(...known.items);
      break;
    }
    case 'insert': if (first?.kind === 'number' && second) list.items.splice(first.value, 0, second); break;
    case 'pop': {
      const place = first?.kind === 'number' ? first.value : -1;
      return list.items.splice(place, 1)[0];
    }
    case 'copy': return listValue([...list.items], list.open);
    case 'reverse': list.items.reverse(); break;
    case 'index': {
      const place = list.items.findIndex((one) => first && compare(follow, '==', one, first));
      return place < 0 ? undefined : numberValue(place);
    }
    default: return undefined;
  }
  if (list.items.length > mostItems) throw new TooMuch();
  return nothing;
}

function containerMethod(follow: Interpreter, container: ContainerValue, name: string, { positional: [first, second] }: Arguments): Value | undefined {
  const add = (value: Value): void => {
    container.children.set(follow.isOpen ? '*' : String(childNames(container)), value);
    if (container.children.size > mostItems) throw new TooMuch();
  };
  switch (name) {
    case 'append': case 'add': if (first) add(first); return container;
    case 'extend': {
      const known = first && follow.itemsOf(first);
      if (known?.open) known.items.forEach((item) => container.children.set('*', item));
      else known?.items.forEach(add);
      return container;
    }
    case 'insert': {
      if (first?.kind !== 'number' || !second) return undefined;
      const items = [...container.children.values()];
      items.splice(first.value, 0, second);
      container.children.clear();
      items.forEach((item, index) => container.children.set(String(index), item));
      return nothing;
    }
    case 'add_module': case 'register_module': {
      const key = first && textOf(first);
      if (key !== undefined && second) container.children.set(key, second);
      return nothing;
    }
    case 'update':
      if (first?.kind === 'dict') first.entries.forEach((value, key) => container.children.set(key, value));
      return nothing;
    case 'items': return listValue([...container.children].map(([key, value]) => listValue([{ kind: 'string', value: key }, value])));
    case 'keys': return listValue([...container.children.keys()].map((key): Value => ({ kind: 'string', value: key })));
    case 'values': case 'children': return listValue([...container.children.values()]);
    case 'named_children': return listValue([...container.children].map(([key, value]) => listValue([{ kind: 'string', value: key }, value])));
    default: return undefined;
  }
}

function parserMethod(entries: Map<string, Value>, name: string, given: Arguments, parser: Value): Value | undefined {
  if (name === 'parse_args' || name === 'add_argument_group') return parser;
  if (name === 'parse_known_args') return listValue([parser, listValue([])]);
  if (name !== 'add_argument') return undefined;
  const names = given.positional.flatMap((one) => (one.kind === 'string' ? [one.value] : []));
  const long = names.find((one) => one.startsWith('--')) ?? names[0];
  const given_ = given.keywords.get('dest');
  const key = given_?.kind === 'string' ? given_.value : long?.replace(/^-+/, '').replaceAll('-', '_');
  const value = given.keywords.get('default');
  if (key !== undefined && value) entries.set(key, value);
  return nothing;
}

export function itemAt(follow: Interpreter, object: Value, index: Value, at: Expression & { kind: 'subscript' }, evaluate: (one: Expression) => Value): Value {
  const slice = at.index.kind === 'other' && at.index.form?.kind === 'slice' ? at.index.form.bounds : undefined;
  if (object.kind === 'dict') {
    const key = textOf(index);
    return (key === undefined ? undefined : object.entries.get(key)) ?? unknownValue('the item is not in this file', at);
  }
  if (object.kind === 'container' && object.type === 'ModuleDict') {
    const key = textOf(index);
    return (key === undefined ? undefined : object.children.get(key)) ?? unknownValue('the member is not known', at);
  }
  const known = follow.itemsOf(object);
  if (!known) return object.kind === 'unknown' ? object : unknownValue('the item cannot be found without running the code', at);
  if (slice) {
    const bounds = slice.map((one) => (one ? numbersOf(evaluate(one))?.[0] : undefined));
    if (slice.some((one, place) => one && bounds[place] === undefined) || (bounds[2] !== undefined && bounds[2] !== 1 && bounds[2] !== -1) || known.open) {
      return unknownValue('the part of the list is not known', at);
    }
    const items = known.items.slice(bounds[0] ?? 0, bounds[1]);
    if (bounds[2] === -1) items.reverse();
    if (object.kind !== 'container') return listValue(items);
    return { ...object, children: new Map(items.map((item, place) => [String(place), item])) };
  }
  if (known.open) return known.items[0] ?? unknownValue('the item is not known', at);
  const item = index.kind === 'number' ? known.items.at(index.value) : undefined;
  return item ?? (index.kind === 'unknown' ? index : unknownValue('the list has no such item', at));
}

/** undefined when it is not known. */
export function compare(follow: Interpreter, operator: string, left: Value, right: Value): boolean | undefined {
  if (left.kind === 'unknown' || right.kind === 'unknown') return undefined;
  switch (operator) {
    case '==': case 'is': return equal(left, right);
    case '!=': case 'is not': case '<>': {
      const same = equal(left, right);
      return same === undefined ? undefined : !same;
    }
    case 'in': case 'not in': {
      const known = follow.itemsOf(right);
      if (right.kind === 'string' && left.kind === 'string') return right.value.includes(left.value) === (operator === 'in');
      if (!known || known.open) return undefined;
      const results = known.items.map((one) => equal(one, left));
      if (results.includes(true)) return operator === 'in';
      return results.includes(undefined) ? undefined : operator !== 'in';
    }
    default: {
      if (left.kind !== 'number' || right.kind !== 'number') return undefined;
      const [a, b] = [left.value, right.value];
      return operator === '<' ? a < b : operator === '>' ? a > b : operator === '<=' ? a <= b : operator === '>=' ? a >= b : undefined;
    }
  }
}

function equal(a: Value, b: Value): boolean | undefined {
  if (a.kind === 'tensor' || b.kind === 'tensor') return a.kind === 'constant' || b.kind === 'constant' ? false : undefined;
  if (a.kind !== b.kind) return false;
  if (a.kind === 'list' && b.kind === 'list') {
    if (a.items.length !== b.items.length) return false;
    return a.items.every((one, index) => equal(one, b.items[index]!) === true);
  }
  if ((a.kind === 'number' || a.kind === 'string' || a.kind === 'constant') && 'value' in b) return a.value === b.value;
  if (a.kind === 'native' && b.kind === 'native') return a.name === b.name;
  if (a.kind === 'class' && b.kind === 'class') return a.scope === b.scope;
  return a === b ? true : undefined;
}

function isInstance(value: Value, type: Value): Value | undefined {
  const types = type.kind === 'list' ? type.items : [type];
  const results = types.map((one) => {
    if (one.kind === 'native') {
      const last = one.name.split('.').at(-1)!;
      if (value.kind === 'module') return value.type === last || last === 'Module';
      if (value.kind === 'container') return value.type === last || last === 'Module';
      const plain: Readonly<Record<string, Value['kind']>> = { int: 'number', float: 'number', str: 'string', list: 'list', tuple: 'list', dict: 'dict' };
      return Object.hasOwn(plain, last) ? plain[last] === value.kind : undefined;
    }
    return one.kind === 'class' && value.kind === 'instance' ? value.type.scope === one.scope : undefined;
  });
  if (results.includes(true)) return { kind: 'constant', value: true };
  return results.includes(undefined) ? undefined : { kind: 'constant', value: false };
}

/** Arithmetic on numbers, and the sums of texts and lists. */
export function computed(operator: string, left: Value, right: Value, at: Span): Value {
  if (left.kind === 'unknown') return left;
  if (right.kind === 'unknown') return right;
  if (left.kind === 'number' && right.kind === 'number') {
    const value = compute(operator, left.value, right.value);
    return value === undefined || !Number.isFinite(value) ? unknownValue(`"${operator}" is not followed`, at) : numberValue(value, left, right);
  }
  if (operator === '+' && left.kind === 'string' && right.kind === 'string') return { kind: 'string', value: left.value + right.value };
  if (operator === '%' && left.kind === 'string') {
    const values = (right.kind === 'list' ? right.items : [right]).map(textOf);
    let next = 0;
    const text = left.value.replace(/%[dsi]/g, () => values[next++] ?? '');
    return values.includes(undefined) ? unknownValue('the text is not known', at) : { kind: 'string', value: text };
  }
  if (operator === '+' && left.kind === 'list' && right.kind === 'list') return listValue([...left.items, ...right.items], left.open ?? right.open);
  const [list, times] = left.kind === 'list' ? [left, right] : [right, left];
  if (operator === '*' && list.kind === 'list' && times.kind === 'number') {
    if (times.value * list.items.length > mostItems) throw new TooMuch();
    return listValue(Array.from({ length: Math.max(0, times.value) }, () => list.items).flat(), list.open);
  }
  return unknownValue(`"${operator}" is not followed here`, at);
}

function formatted(pattern: string, { positional, keywords }: Arguments): Value | undefined {
  let next = 0;
  let known = true;
  const value = pattern.replace(/\{(\w*)\}/g, (_, key: string) => {
    const given = key === '' ? positional[next++] : /^\d+$/.test(key) ? positional[Number(key)] : keywords.get(key);
    const text = given && textOf(given);
    known &&= text !== undefined;
    return text ?? '';
  });
  return known ? { kind: 'string', value } : undefined;
}

/** A copy whose layers are layers of their own. */
function copied(value: Value, depth = 0): Value {
  if (depth > 30) return value;
  const each = (map: ReadonlyMap<string, Value>) => new Map([...map].map(([key, one]) => [key, copied(one, depth + 1)]));
  switch (value.kind) {
    case 'module': return { ...value };
    case 'container': return { ...value, children: each(value.children) };
    case 'instance': return { ...value, fields: each(value.fields) };
    case 'list': return listValue(value.items.map((one) => copied(one, depth + 1)), value.open);
    case 'dict': return { ...value, entries: each(value.entries) };
    default: return value;
  }
}
