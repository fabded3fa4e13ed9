import { enclosingClass } from './lowering';
import { forEachExpression, type Argument, type Binding, type CallNode, type Expression, type Program, type Scope } from './program';

/** What a name, member or subscript stands for. */
export type Resolution =
  | { readonly kind: 'expression'; readonly expression: Expression }
  /** A parameter that several calls give different arguments. */
  | { readonly kind: 'several'; readonly expressions: readonly Expression[]; readonly reason: string }
  | { readonly kind: 'import'; readonly module: string }
  | { readonly kind: 'definition'; readonly scope: Scope }
  | { readonly kind: 'unknown'; readonly reason: string };

const furthest = 150;
const circle: Resolution = { kind: 'unknown', reason: 'its definition goes in a circle' };

/** Follows names to what they are bound to, inside one file and without running anything. */
export class Scopes {
  private callsByScope: Map<Scope, CallNode[]> | undefined;
  private collecting = false;
  private steps = 0;
  private known = new Map<Expression, Resolution>();

  constructor(readonly program: Program) {}

  /** One step from a reference to what it stands for; an expression that is no reference stands for itself. */
  resolve(expression: Expression): Resolution {
    if (!isReference(expression)) return { kind: 'expression', expression };
    const before = this.known.get(expression);
    if (before) return before;
    if (this.steps > furthest) return circle;
    // What comes back here while it is being found goes in a circle.
    const { known } = this;
    known.set(expression, circle);
    this.steps++;
    const resolution = this.step(expression);
    this.steps--;
    known.set(expression, resolution);
    return resolution;
  }

  /** Follows references until something that is none. */
  resolveFully(expression: Expression): Resolution {
    let resolution: Resolution = { kind: 'expression', expression };
    for (let step = 0; step < furthest; step++) {
      if (resolution.kind !== 'expression' || !isReference(resolution.expression)) return resolution;
      resolution = this.resolve(resolution.expression);
    }
    return circle;
  }

  /**
   * The full name of something imported: 'keras.layers.Conv2D' for `layers.Conv2D` after `from keras import layers`. A
   * name that cannot be followed stands for itself: notebooks and scripts import elsewhere, functions are given `tf`.
   */
  qualifiedName(expression: Expression): string | undefined {
    const resolution = this.resolveFully(expression);
    if (resolution.kind === 'import') return resolution.module;
    if (resolution.kind !== 'unknown') return undefined;
    if (expression.kind === 'name') return expression.name;
    if (expression.kind !== 'member') return undefined;
    const object = this.qualifiedName(expression.object);
    return object === undefined ? undefined : `${object}.${expression.name}`;
  }

  /** Calls in this file of a function, or of a class when given its constructor. */
  callsOf(scope: Scope): readonly CallNode[] {
    return this.calls().get(scope) ?? [];
  }

  /** The function or class of this file that a call calls (a class as its constructor, when it has one). */
  called(call: CallNode): Scope | undefined {
    const callee = this.resolveFully(call.callee);
    if (callee.kind !== 'definition') return undefined;
    return callee.scope.kind === 'class' ? (this.constructorOf(callee.scope) ?? callee.scope) : callee.scope;
  }

  /** The argument of a call by name or position, looking through `**options` whose contents are in this file. */
  argument(call: CallNode, name: string, position?: number): Expression | undefined {
    let index = 0;
    for (const argument of call.arguments) {
      if (argument.name === name) return argument.value;
      if (argument.name !== undefined) continue;
      if (argument.value.kind === 'spread') {
        const inside = this.resolveFully(argument.value.operand);
        if (inside.kind !== 'expression') continue;
        const entry = this.entry(inside.expression, name);
        if (entry) return entry;
        if (inside.expression.kind === 'list') {
          const item = position === undefined ? undefined : inside.expression.items[position - index];
          if (item) return item;
          index += inside.expression.items.length;
        }
        continue;
      }
      if (index === position) return argument.value;
      index++;
    }
    return undefined;
  }

  /** The value of a key in an object literal, a Python dictionary or `dict(...)`; spreads are looked through. */
  entry(container: Expression, key: string, seen = new Set<Expression>()): Expression | undefined {
    if (seen.has(container)) return undefined;
    seen.add(container);
    if (container.kind === 'call') return this.keywordOf(container, key, seen);
    if (container.kind !== 'dict') return undefined;
    for (let index = container.entries.length - 1; index >= 0; index--) {
      const { key: written, value } = container.entries[index]!;
      if (written?.kind === 'string' && written.value === key) return value;
      if (!written && value.kind === 'spread') {
        const inside = this.resolveFully(value.operand);
        const found = inside.kind === 'expression' ? this.entry(inside.expression, key, seen) : undefined;
        if (found) return found;
      }
    }
    return undefined;
  }

  private step(expression: Expression): Resolution {
    switch (expression.kind) {
      case 'name': return this.resolveName(expression.name, expression.scope, expression.start);
      case 'member': return this.resolveMember(expression.object, expression.name, expression);
      case 'subscript': return this.resolveSubscript(expression.object, expression.index);
      default: return { kind: 'expression', expression };
    }
  }

  private resolveName(name: string, from: Scope, position: number): Resolution {
    for (let scope: Scope | undefined = from; scope; scope = scope.parent) {
      if (scope.kind === 'class' && scope !== from) continue;
      const bindings = scope.bindings.get(name);
      if (!bindings) continue;
      const resolution = this.choose(name, bindings, scope === from ? position : undefined);
      if (resolution) return resolution;
    }
    return unknown(`"${name}" is not defined in this file`);
  }

  /** The binding in force at a position of its own scope; without one, at the end of the scope. */
  private choose(name: string, bindings: readonly Binding[], position?: number): Resolution | undefined {
    const before = bindings.filter((one) => position === undefined || effectiveFrom(one) <= position);
    const last = before[before.length - 1];
    if (!last) return undefined;
    if (last.branch !== undefined && before.length > 1) {
      return unknown(`"${name}" is set in more than one place, depending on a condition or a loop`);
    }
    return this.bound(last);
  }

  private bound(binding: Binding): Resolution {
    switch (binding.kind) {
      case 'import': return { kind: 'import', module: binding.module ?? '' };
      case 'definition': return binding.defines ? { kind: 'definition', scope: binding.defines } : unknown('it is a definition');
      case 'parameter': return this.resolveParameter(binding);
      case 'changing': return unknown(`"${binding.name}" changes while the program runs (a loop or an update)`);
      default: return binding.value ? { kind: 'expression', expression: binding.value } : unknown(`"${binding.name}" has no value`);
    }
  }

  private resolveParameter({ name, parameter, scope }: Binding): Resolution {
    if (!parameter || parameter.rest) return unknown(`"${name}" collects further arguments`);
    const given: Expression[] = [];
    for (const call of this.callsOf(scope)) {
      const argument = this.argumentFor(call, parameter);
      if (argument === 'unknown') return unknown(`a call passes "${name}" in a way that cannot be followed`);
      const value = argument ?? parameter.default;
      if (value && !given.includes(value)) given.push(value);
    }
    if (given.length > 1) {
      return { kind: 'several', expressions: given, reason: `"${name}" is given different values by ${given.length} calls` };
    }
    const value = given[0] ?? parameter.default;
    return value
      ? { kind: 'expression', expression: value }
      : unknown(`"${name}" is a parameter without a default, and no call in this file gives it`);
  }

  private argumentFor(
    call: CallNode,
    parameter: { readonly name: string; readonly position?: number; readonly property?: string },
  ): Expression | 'unknown' | undefined {
    if (parameter.property !== undefined) {
      const object = parameter.position === undefined ? undefined : call.arguments[parameter.position]?.value;
      if (!object) return undefined;
      const inside = this.resolveFully(object);
      if (inside.kind !== 'expression' || inside.expression.kind !== 'dict') return 'unknown';
      return this.entry(inside.expression, parameter.property);
    }
    const found = this.argument(call, parameter.name, parameter.position);
    if (found) return found;
    return call.arguments.some((argument) => this.isOpaqueSpread(argument)) ? 'unknown' : undefined;
  }

  private isOpaqueSpread({ value }: Argument): boolean {
    if (value.kind !== 'spread') return false;
    const inside = this.resolveFully(value.operand);
    return inside.kind !== 'expression' || (inside.expression.kind !== 'dict' && inside.expression.kind !== 'list');
  }

  private resolveMember(object: Expression, name: string, at: Expression): Resolution {
    if (object.kind === 'name' && (object.name === 'self' || object.name === 'this')) {
      const owner = enclosingClass(object.scope);
      return (owner && this.instanceMember(owner, name, at)) ?? unknown(`"${object.name}.${name}" is not set in this class`);
    }
    const whole = this.resolveFully(object);
    if (whole.kind === 'import') return { kind: 'import', module: `${whole.module}.${name}` };
    if (whole.kind === 'definition') {
      const bindings = whole.scope.bindings.get(name);
      return (bindings && whole.scope.kind === 'class' && this.choose(name, bindings)) || unknown(`".${name}" is not set in this file`);
    }
    if (whole.kind !== 'expression') return whole;
    const found = this.entry(whole.expression, name);
    if (found) return { kind: 'expression', expression: found };
    if (whole.expression.kind === 'call') {
      const callee = this.resolveFully(whole.expression.callee);
      if (callee.kind === 'definition' && callee.scope.kind === 'class') {
        return this.instanceMember(callee.scope, name) ?? unknown(`".${name}" is not set in this file`);
      }
    }
    return unknown(`".${name}" cannot be followed without running the code`);
  }

  /** `self.name`: what a method stored, else what the class itself or a base class in this file holds. */
  private instanceMember(owner: Scope, name: string, at?: Expression): Resolution | undefined {
    const stored = owner.attributes.get(name);
    if (stored) {
      const local = at ? stored.filter((one) => one.scope === at.scope && effectiveFrom(one) <= at.start) : [];
      if (local.length > 0) return this.choose(name, local, at?.start);
      if (stored.length > 1) return unknown(`"${name}" is set in more than one place of the class`);
      return this.choose(name, stored);
    }
    const bindings = owner.bindings.get(name);
    if (bindings) return this.choose(name, bindings);
    for (const base of owner.bases) {
      const resolved = this.resolveFully(base);
      if (resolved.kind === 'definition' && resolved.scope !== owner) {
        const found = this.instanceMember(resolved.scope, name);
        if (found) return found;
      }
    }
    return undefined;
  }

  private resolveSubscript(object: Expression, index: Expression): Resolution {
    const whole = this.resolveFully(object);
    if (whole.kind !== 'expression') return whole.kind === 'several' ? whole : unknown('its container is not in this file');
    const key = index.kind === 'unary' || isReference(index) ? this.literalIndex(index) : index;
    if (key?.kind === 'number' && whole.expression.kind === 'list') {
      const { items } = whole.expression;
      const item = items.some((one) => one.kind === 'spread') ? undefined : items.at(key.value);
      if (item) return { kind: 'expression', expression: item };
    }
    if (key?.kind === 'string') {
      const entry = this.entry(whole.expression, key.value);
      if (entry) return { kind: 'expression', expression: entry };
    }
    return unknown('the item cannot be found without running the code');
  }

  private literalIndex(index: Expression): { kind: 'number'; value: number } | { kind: 'string'; value: string } | undefined {
    if (index.kind === 'unary' && index.operator === '-' && index.operand.kind === 'number') return { kind: 'number', value: -index.operand.value };
    const resolved = this.resolveFully(index);
    if (resolved.kind !== 'expression') return undefined;
    return resolved.expression.kind === 'number' || resolved.expression.kind === 'string' ? resolved.expression : undefined;
  }

  /** A keyword of `dict(a=1)`, `SimpleNamespace(a=1)`, `Object.freeze({ a: 1 })` or a data class. */
  private keywordOf(call: CallNode, key: string, seen: Set<Expression>): Expression | undefined {
    const callee = this.resolveFully(call.callee);
    if (callee.kind === 'definition') {
      const plain = callee.scope.kind === 'class' && !this.constructorOf(callee.scope);
      return plain ? call.arguments.find((argument) => argument.name === key)?.value : undefined;
    }
    const name = this.qualifiedName(call.callee)?.split('.').at(-1);
    if (name === 'freeze' && call.arguments[0]) {
      const inside = this.resolveFully(call.arguments[0].value);
      return inside.kind === 'expression' ? this.entry(inside.expression, key, seen) : undefined;
    }
    if (name !== 'dict' && name !== 'SimpleNamespace' && name !== 'Namespace') return undefined;
    return call.arguments.find((argument) => argument.name === key)?.value;
  }

  private constructorOf(owner: Scope): Scope | undefined {
    const own = (owner.bindings.get('__init__') ?? owner.bindings.get('constructor'))?.at(-1)?.defines;
    if (own) return own;
    for (const base of owner.bases) {
      const resolved = this.resolveFully(base);
      if (resolved.kind === 'definition' && resolved.scope !== owner && resolved.scope.kind === 'class') return this.constructorOf(resolved.scope);
    }
    return undefined;
  }

  private calls(): Map<Scope, CallNode[]> {
    // While they are collected a callee may lead back to here: it then counts as not called.
    if (this.callsByScope || this.collecting) return this.callsByScope ?? new Map();
    this.collecting = true;
    // What is found meanwhile does not know all calls and is not remembered.
    const { known } = this;
    this.known = new Map();
    const calls = new Map<Scope, CallNode[]>();
    forEachExpression(this.program, (expression) => {
      if (expression.kind !== 'call') return;
      const scope = this.called(expression);
      if (!scope) return;
      const list = calls.get(scope);
      if (!list) calls.set(scope, [expression]);
      else if (!list.includes(expression)) list.push(expression);
    });
    this.collecting = false;
    this.known = known;
    return (this.callsByScope = calls);
  }
}

export function isReference(expression: Expression): boolean {
  return expression.kind === 'name' || expression.kind === 'member' || expression.kind === 'subscript';
}

/** `width = width * 2` reads the old value: a binding counts from the end of what it binds. */
function effectiveFrom(binding: Binding): number {
  return Math.max(binding.value?.end ?? 0, binding.span.end);
}

function unknown(reason: string): Resolution {
  return { kind: 'unknown', reason };
}
