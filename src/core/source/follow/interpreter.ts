import type { Span } from '../definition';
import type { CallNode, Expression, NumberNode, Parameter, Program, Scope, Statement, Step } from '../program';
import { callBuiltin, callMethod, computed, itemAt } from './builtins';
import { evaluateDict, evaluateOther, listItems } from './compound';
import {
  Environment, listValue, literalValue, nothing, numberValue, truth, unknownValue,
  type ClassValue, type ContainerValue, type FunctionValue, type InstanceValue, type ModuleValue, type Value,
} from './values';

export interface Arguments {
  readonly positional: readonly Value[];
  readonly keywords: ReadonlyMap<string, Value>;
}

/** What following code does beyond the language itself: frameworks' layers, and tensors where a model is run. */
export interface FollowHooks {
  /** A call of something imported; undefined when that is not known. */
  native(name: string, given: Arguments, call: CallNode): Value | undefined;
  /** A layer or a member of a container is called; undefined where models are not run. */
  module?(module: ModuleValue, given: Arguments, call: Span): Value;
  /** A method or member of a tensor. */
  tensorMember?(tensor: Value, name: string, given: Arguments | undefined, at: Span): Value;
  tensorOperation?(operator: string, operands: readonly Value[], at: Span): Value;
  tensorItem?(tensor: Value, index: Expression, evaluated: Value, at: Span): Value;
  /** A condition that is not known: thrown where a model is run, passed over where layers are looked for. */
  undecided?(value: Value, at: Span): void;
}

type Signal = { readonly kind: 'return'; readonly value: Value } | { readonly kind: 'break' | 'continue' | 'raise' } | undefined;

const mostSteps = 150_000;
const deepest = 60;
const mostItems = 4_096;

/** Thrown when code does more than a definition of a model would. */
export class TooMuch extends Error {}

/**
 * Follows code step by step, as far as it is plain: names, numbers, lists, loops over them, conditions, functions and
 * classes. Nothing outside is called, no file is read, and the number of steps is bounded; what cannot be followed
 * is an unknown value that says why (abstract interpretation, Cousot & Cousot 1977, with constants as its domain).
 */
export class Interpreter {
  readonly root = new Environment();
  /** Functions and classes that were called. */
  readonly called = new Set<Scope>();
  private remaining = mostSteps;
  private depth = 0;
  /** Inside a loop whose length is not known. */
  open = 0;
  private readonly classes = new Map<Scope, ClassValue>();

  constructor(
    readonly program: Program,
    readonly hooks: FollowHooks,
    /** Numbers that take the place of literals. */
    private readonly overrides: ReadonlyMap<NumberNode, number> = new Map(),
  ) {}

  /** Runs the file itself; what it defines is then in `root`. */
  run(): void {
    this.steps(this.program.root.body, this.root);
  }

  /** A fresh allowance for the next thing to follow. */
  refill(): void {
    this.remaining = mostSteps;
    this.depth = 0;
    this.open = 0;
  }

  get isOpen(): boolean {
    return this.open > 0;
  }

  call(callee: Value, given: Arguments, call: CallNode | Span): Value {
    this.tick();
    const node = 'kind' in call ? call : undefined;
    switch (callee.kind) {
      case 'function': return this.callFunction(callee, given, call);
      case 'class': return this.instantiate(callee, given, call);
      case 'partial': return this.call(callee.callee, {
        positional: [...callee.positional, ...given.positional], keywords: new Map([...callee.keywords, ...given.keywords]),
      }, call);
      case 'native': {
        const found = node && this.hooks.native(callee.name, given, node);
        return found ?? callBuiltin(this, callee.name, given, call) ?? unknownValue(`it is the result of "${callee.name}", which is not run`, call);
      }
      case 'method': {
        if (callee.object.kind === 'tensor' && this.hooks.tensorMember) return this.hooks.tensorMember(callee.object, callee.name, given, call);
        return callMethod(this, callee.object, callee.name, given, call) ?? unknownValue(`".${callee.name}" is not followed`, call);
      }
      case 'module':
        return this.hooks.module ? this.hooks.module(callee, given, call) : unknownValue('it is what a layer gives', call);
      case 'container': {
        if (!this.hooks.module) return unknownValue('it is what a layer gives', call);
        if (callee.type !== 'Sequential') return unknownValue(`a ${callee.type} cannot be called`, call);
        let value = given.positional[0] ?? nothing;
        for (const child of callee.children.values()) value = this.call(child, { positional: [value], keywords: new Map() }, call);
        return value;
      }
      case 'instance': {
        if (!this.hooks.module) return unknownValue('it is what a layer gives', call);
        const forward = this.memberOf(callee, 'forward', call);
        if (forward.kind === 'function') return this.call(forward, given, call);
        return callee.container ? this.call(callee.container, given, call) : unknownValue(`"${callee.type.scope.name ?? 'a class'}" has no forward in this file`, call);
      }
      case 'unknown': return callee;
      default: return unknownValue('it is called, but is no function', call);
    }
  }

  /** Finds a member; `method` values stand for what is done by this interpreter itself. */
  memberOf(object: Value, name: string, at: Span): Value {
    switch (object.kind) {
      case 'native': return { kind: 'native', name: `${object.name}.${name}` };
      case 'instance': return object.fields.get(name) ?? object.container?.children.get(name) ?? this.inherited(object.type, name, object) ?? { kind: 'method', object, name };
      case 'class': return this.inherited(object, name) ?? unknownValue(`".${name}" is not set in this file`, at);
      case 'super': {
        for (const base of object.owner.bases) {
          const found = base.kind === 'class' ? this.inherited(base, name, object.self) : undefined;
          if (found) return found;
        }
        return { kind: 'method', object, name };
      }
      case 'dict': return object.parser || !dictMethods.has(name) ? (object.entries.get(name) ?? { kind: 'method', object, name }) : { kind: 'method', object, name };
      case 'container': return object.children.get(name) ?? { kind: 'method', object, name };
      case 'tensor': {
        if (name === 'shape' || name === 'T' || name === 'dtype' || name === 'device' || name === 'ndim') {
          return this.hooks.tensorMember?.(object, name, undefined, at) ?? unknownValue('it is a tensor', at);
        }
        return { kind: 'method', object, name };
      }
      case 'module': {
        const index = attributePlaces[name];
        const given = object.keywords.get(name) ?? (index === undefined ? undefined : object.positional[index]);
        return given ?? { kind: 'method', object, name };
      }
      case 'unknown': return object;
      default: return { kind: 'method', object, name };
    }
  }

  inherited(type: ClassValue, name: string, self?: Value, depth = 0): Value | undefined {
    const own = type.env.values.get(name);
    if (own?.kind === 'function' && self && !own.scope.static) return { ...own, self, owner: type };
    if (own) return own;
    for (const base of depth < 20 ? type.bases : []) {
      const found = base.kind === 'class' ? this.inherited(base, name, self, depth + 1) : undefined;
      if (found) return found;
    }
    return undefined;
  }

  /** Names of the imported classes that a class derives from. */
  nativeBases(type: ClassValue, depth = 0): string[] {
    if (depth > 20) return [];
    return type.bases.flatMap((base) => (base.kind === 'native' ? [base.name] : base.kind === 'class' ? this.nativeBases(base, depth + 1) : []));
  }

  /** Items of something that can be gone through; undefined when they are not known. */
  itemsOf(value: Value): { readonly items: readonly Value[]; readonly open: boolean } | undefined {
    switch (value.kind) {
      case 'list': return { items: [...value.items], open: value.open ?? false };
      case 'dict': return { items: [...value.entries.keys()].map((key): Value => ({ kind: 'string', value: key })), open: false };
      case 'container': return { items: value.type === 'ModuleDict' ? [...value.children.keys()].map((key): Value => ({ kind: 'string', value: key })) : [...value.children.values()], open: value.children.has('*') };
      case 'instance': return value.container ? this.itemsOf(value.container) : undefined;
      case 'string': return value.value.length <= mostItems ? { items: [...value.value].map((one): Value => ({ kind: 'string', value: one })), open: false } : undefined;
      default: return undefined;
    }
  }

  instantiate(type: ClassValue, given: Arguments, at: CallNode | Span): Value {
    this.called.add(type.scope);
    const instance: InstanceValue = { kind: 'instance', type, fields: new Map() };
    const constructor = this.inherited(type, '__init__', instance);
    if (constructor?.kind === 'function') {
      this.callFunction(constructor, given, at);
    } else {
      const native = this.nativeBases(type).find((name) => /\bSequential$|\bModuleList$|\bModuleDict$/.test(name));
      if (native && 'kind' in at) this.baseContainer(instance, native, given, at);
      else this.dataFields(instance, type, given, at);
    }
    return instance;
  }

  /** `super().__init__(...)` of a class that derives from a container. */
  baseContainer(instance: InstanceValue, native: string, given: Arguments, call: CallNode): void {
    const made = this.hooks.native(native, given, call);
    if (made?.kind === 'container') instance.container = made;
  }

  evaluate(expression: Expression, env: Environment): Value {
    this.tick();
    if (this.depth > 400) return unknownValue('it is nested too deeply', expression);
    this.depth++;
    try {
      return this.evaluateKind(expression, env);
    } finally {
      this.depth--;
    }
  }

  private evaluateKind(expression: Expression, env: Environment): Value {
    switch (expression.kind) {
      case 'number': return literalValue(this.overrides.get(expression) ?? expression.value, expression);
      case 'string': return { kind: 'string', value: expression.value };
      case 'constant': return expression;
      case 'name': return env.find(expression.name) ?? this.unbound(expression.name);
      case 'member': return this.memberOf(this.evaluate(expression.object, env), expression.name, expression);
      case 'subscript': {
        const object = this.evaluate(expression.object, env);
        const index = this.evaluate(expression.index, env);
        if (object.kind === 'tensor' && this.hooks.tensorItem) return this.hooks.tensorItem(object, expression.index, index, expression);
        return itemAt(this, object, index, expression, (one) => this.evaluate(one, env));
      }
      case 'list': return listValue(...listItems(this, expression.items, env));
      case 'dict': return evaluateDict(this, expression, env);
      case 'call': return this.evaluateCall(expression, env);
      case 'unary': {
        const operand = this.evaluate(expression.operand, env);
        if (operand.kind === 'tensor' && this.hooks.tensorOperation) return this.hooks.tensorOperation(`unary${expression.operator}`, [operand], expression);
        if (operand.kind !== 'number') return operand.kind === 'unknown' ? operand : unknownValue('it is not a number', expression);
        return expression.operator === '-' ? numberValue(-operand.value, operand) : operand;
      }
      case 'binary': return this.binary(expression.operator, this.evaluate(expression.left, env), this.evaluate(expression.right, env), expression);
      case 'other': return evaluateOther(this, expression, env);
      default: return unknownValue('it cannot be followed', expression);
    }
  }

  binary(operator: string, left: Value, right: Value, at: Span): Value {
    if ((left.kind === 'tensor' || right.kind === 'tensor') && this.hooks.tensorOperation) return this.hooks.tensorOperation(operator, [left, right], at);
    return computed(operator, left, right, at);
  }

  private unbound(name: string): Value {
    const star = this.program.starImports.find((module) => /(^|\.)(nn|layers)$/.test(module));
    return { kind: 'native', name: star && /^[A-Z]/.test(name) ? `${star}.${name}` : name };
  }

  private evaluateCall(call: CallNode, env: Environment): Value {
    const { callee } = call;
    if (callee.kind === 'name' && callee.name === 'super' && !env.find('super')) {
      const self = env.find('self');
      const owner = env.find('__class__');
      if (self && owner?.kind === 'class') return { kind: 'super', self, owner };
    }
    const target = this.evaluate(callee, env);
    const positional: Value[] = [];
    const keywords = new Map<string, Value>();
    for (const { name, value } of call.arguments) {
      if (name !== undefined) keywords.set(name, this.evaluate(value, env));
      else if (value.kind !== 'spread') positional.push(this.evaluate(value, env));
      else {
        const inside = this.evaluate(value.operand, env);
        if (inside.kind === 'dict' && this.program.text.startsWith('**', value.start)) inside.entries.forEach((one, key) => keywords.set(key, one));
        else {
          const known = this.itemsOf(inside);
          if (known?.open && target.kind === 'native' && /Sequential$/.test(target.name)) positional.push(listValue([...known.items], true));
          else positional.push(...(known?.items ?? [unknownValue('its arguments are not known', value)]));
        }
      }
    }
    // `OrderedDict(a=1)` and friends take any name; a generator as the only argument is one list.
    return this.call(target, { positional, keywords }, call);
  }

  private callFunction(callee: FunctionValue, given: Arguments, at: Span): Value {
    const { scope } = callee;
    this.called.add(scope);
    if (this.depth > deepest * 6) return unknownValue('functions call one another too deeply', at);
    const env = new Environment(callee.env);
    if (callee.self) env.values.set('self', callee.self);
    if (callee.owner) env.values.set('__class__', callee.owner);
    for (const parameter of scope.parameters) env.values.set(parameter.name, this.argument(parameter, scope, given, callee, at));
    if (callee.body) return this.evaluate(callee.body, env);
    this.depth += 6;
    const signal = this.steps(scope.body, env);
    this.depth -= 6;
    if (signal?.kind === 'return') return signal.value;
    return signal?.kind === 'raise' ? unknownValue('it raises an error there', at) : nothing;
  }

  private argument(parameter: Parameter, scope: Scope, { positional, keywords }: Arguments, callee: FunctionValue, at: Span): Value {
    if (parameter.rest && parameter.keywords) {
      const named = new Set(scope.parameters.filter((one) => !one.rest).map((one) => one.name));
      return { kind: 'dict', entries: new Map([...keywords].filter(([name]) => !named.has(name))) };
    }
    if (parameter.rest) {
      const before = scope.parameters.filter((one) => one.position !== undefined && !one.rest).length;
      return listValue(positional.slice(before));
    }
    const value = keywords.get(parameter.name) ?? (parameter.position === undefined ? undefined : positional[parameter.position]);
    if (value) return value;
    if (parameter.default) return this.evaluate(parameter.default, callee.env);
    return unknownValue(`"${parameter.name}" is a parameter that nothing in this file gives a value`, at);
  }

  /** Fields of a data class (and constants of a plain class) from their defaults and what the call gives. */
  private dataFields(instance: InstanceValue, type: ClassValue, { positional, keywords }: Arguments, at: Span): void {
    const fields = [...type.env.values].filter(([, value]) => value.kind !== 'function');
    fields.forEach(([name, value], index) => instance.fields.set(name, keywords.get(name) ?? positional[index] ?? value));
    for (const [name, value] of keywords) if (!instance.fields.has(name)) instance.fields.set(name, value);
    void at;
  }

  steps(steps: readonly Step[], env: Environment): Signal {
    for (const step of steps) {
      this.tick();
      const signal = this.step(step, env);
      if (signal) return signal;
    }
    return undefined;
  }

  private step(step: Step, env: Environment): Signal {
    switch (step.kind) {
      case 'import': env.values.set(step.name, { kind: 'native', name: step.module }); return undefined;
      case 'define': env.values.set(step.name, this.define(step.scope, env)); return undefined;
      case 'statement': return this.statement(step.statement, env);
      case 'for': return this.loop(step, env);
      case 'if': return this.condition(step, env);
      case 'while': this.hooks.undecided?.(unknownValue('a while loop is not followed', step.span), step.span); return undefined;
      default: return { kind: step.kind };
    }
  }

  private define(scope: Scope, env: Environment): Value {
    if (scope.kind === 'function') return { kind: 'function', scope, env };
    const own = new Environment(env, true);
    const value: ClassValue = { kind: 'class', scope, env: own, bases: scope.bases.map((base) => this.evaluate(base, env)) };
    this.classes.set(scope, value);
    this.steps(scope.body, own);
    return value;
  }

  private statement({ kind, value, target, operator, span }: Statement, env: Environment): Signal {
    const found = this.evaluate(value, env);
    switch (kind) {
      case 'return': return { kind: 'return', value: found };
      case 'assign': if (target) this.assign(target, found, env, span); return undefined;
      case 'augment': {
        if (!target) return undefined;
        const before = this.evaluate(target, env);
        const sign = (operator ?? '+=').slice(0, -1);
        if (sign === '+' && (before.kind === 'list' || before.kind === 'container')) callMethod(this, before, 'extend', { positional: [found], keywords: new Map() }, span);
        else this.assign(target, this.binary(sign, before, found, span), env, span);
        return undefined;
      }
      default: return undefined;
    }
  }

  assign(target: Expression, value: Value, env: Environment, at: Span): void {
    switch (target.kind) {
      case 'name': env.values.set(target.name, value); return;
      case 'member': {
        const object = this.evaluate(target.object, env);
        if (object.kind === 'instance') object.fields.set(target.name, value);
        else if (object.kind === 'dict') object.entries.set(target.name, value);
        else if (object.kind === 'container') object.children.set(target.name, value);
        return;
      }
      case 'subscript': {
        const object = this.evaluate(target.object, env);
        const key = this.evaluate(target.index, env);
        const name = textOf(key);
        if (object.kind === 'dict' && name !== undefined) object.entries.set(name, value);
        else if (object.kind === 'container' && name !== undefined) object.children.set(name, value);
        else if (object.kind === 'list' && key.kind === 'number' && key.value >= 0 && key.value < object.items.length) object.items[key.value] = value;
        return;
      }
      case 'list': {
        const items = this.itemsOf(value);
        target.items.forEach((one, index) => {
          if (value.kind === 'tensor' && this.hooks.tensorItem) return;
          this.assign(one, (items && !items.open ? items.items[index] : undefined) ?? (value.kind === 'unknown' ? value : unknownValue('it is a part of something that is not known', at)), env, at);
        });
        return;
      }
      default:
    }
  }

  private loop(step: Step & { kind: 'for' }, env: Environment): Signal {
    const iterable = this.evaluate(step.iterable, env);
    const known = this.itemsOf(iterable);
    if (known && !known.open) {
      if (known.items.length > mostItems) throw new TooMuch();
      for (const item of known.items) {
        this.assign(step.target, item, env, step.span);
        const signal = this.steps(step.body, env);
        if (signal?.kind === 'break') break;
        if (signal && signal.kind !== 'continue') return signal;
      }
      return undefined;
    }
    this.hooks.undecided?.(iterable, step.iterable);
    // Gone through once, for all of them.
    this.open++;
    this.assign(step.target, known?.items[0] ?? unknownValue('it changes in a loop whose length is not known', step.iterable), env, step.span);
    this.steps(step.body, env);
    this.open--;
    return undefined;
  }

  private condition(step: Step & { kind: 'if' }, env: Environment): Signal {
    for (const { test, body } of step.cases) {
      if (!test) return this.steps(body, env);
      const value = this.evaluate(test, env);
      const holds = truth(value);
      if (holds) return this.steps(body, env);
      if (holds === undefined) {
        this.hooks.undecided?.(value, test);
        for (const name of assignedIn(body)) env.values.set(name, unknownValue(`"${name}" depends on a condition that is not known`, test));
      }
    }
    return undefined;
  }

  tick(): void {
    if (--this.remaining < 0) throw new TooMuch();
  }
}

const dictMethods = new Set(['get', 'items', 'keys', 'values', 'update', 'pop', 'setdefault', 'copy']);

/** Where layers keep what they are asked for later: `self.fc.in_features`. */
const attributePlaces: Readonly<Record<string, number | undefined>> = {
  in_features: 0, out_features: 1, in_channels: 0, out_channels: 1, num_features: 0, embedding_dim: 1, num_embeddings: 0, input_size: 0, hidden_size: 1,
  embed_dim: 0, num_heads: 1,
};

export function textOf(value: Value): string | undefined {
  if (value.kind === 'string') return value.value;
  return value.kind === 'number' ? String(value.value) : undefined;
}

function assignedIn(steps: readonly Step[]): string[] {
  return steps.flatMap((step) => (step.kind === 'statement' && step.statement.target?.kind === 'name' ? [step.statement.target.name] : []));
}

export function childNames(container: ContainerValue): number {
  return [...container.children.keys()].filter((key) => /^\d+$/.test(key)).length;
}
