import type { Span } from './definition';
import type { Binding, Expression, Form, OtherNode, Parameter, Program, Scope, Statement, Step } from './program';
import type { SyntaxNode } from './syntaxTree';

/** Deeper nesting is generated or hostile: it is kept as something unknown, so that no stack overflows. */
const deepest = 400;

/** What the two lowerings share: the scope and branch they are in, and the statements found so far. */
export abstract class Lowering {
  readonly statements: Statement[] = [];
  readonly starImports: string[] = [];
  protected readonly loops: Span[] = [];
  protected scope: Scope;
  private branch: number | undefined;
  private depth = 0;
  private readonly root: Scope;
  private steps: Step[] = [];

  constructor(protected readonly text: string, root: SyntaxNode) {
    this.root = this.scope = newScope('module', root);
  }

  /** The whole program below the root of the syntax tree. */
  program(root: SyntaxNode): Program {
    this.root.body = this.collect(() => this.lowerChildren(root));
    this.statements.sort((a, b) => a.span.start - b.span.start);
    return { text: this.text, root: this.root, statements: this.statements, starImports: this.starImports, loops: this.loops };
  }

  protected abstract lowerStatement(node: SyntaxNode): void;
  protected abstract lowerExpression(node: SyntaxNode): Expression;

  protected lowerChildren(node: SyntaxNode): void {
    for (const one of node.children) this.statement(one);
  }

  protected statement(node: SyntaxNode): void {
    this.deeper(() => this.lowerStatement(node), () => undefined);
  }

  protected expression(node: SyntaxNode): Expression {
    return this.deeper(() => this.lowerExpression(node), () => this.other(node, []));
  }

  protected other(node: SyntaxNode, parts: readonly Expression[], form?: Form): OtherNode {
    return { kind: 'other', type: node.type, parts, ...(form ? { form } : {}), scope: this.scope, start: node.start, end: node.end };
  }

  protected step(step: Step): void {
    this.steps.push(step);
  }

  /** The steps that lowering something adds. */
  protected collect(body: () => void): Step[] {
    const outer = this.steps;
    const own: Step[] = [];
    this.steps = own;
    body();
    this.steps = outer;
    return own;
  }

  /** An expression of a kind without a meaning here: what is inside still counts as used. */
  protected otherWithParts(node: SyntaxNode): OtherNode {
    return this.other(node, node.children.filter((one) => !isComment(one)).map((one) => this.expression(one)));
  }

  /** @param operator of an augmented assignment: '+=' */
  protected addStatement(kind: Statement['kind'], span: Span, value: Expression, target?: Expression, operator?: string): void {
    const statement: Statement = { kind, span: spanOf(span), value, scope: this.scope, ...(target ? { target } : {}), ...(operator ? { operator } : {}) };
    this.statements.push(statement);
    if (kind !== 'default') this.step({ kind: 'statement', statement });
  }

  protected bind(binding: Omit<Binding, 'scope' | 'branch'>, scope = this.scope): void {
    const full: Binding = { ...binding, scope, ...(this.branch === undefined ? {} : { branch: this.branch }) };
    add(scope.bindings, full);
  }

  /** `self.name = value` inside a method. */
  protected bindAttribute(classScope: Scope, binding: Omit<Binding, 'scope' | 'branch'>): void {
    const full: Binding = { ...binding, scope: this.scope, ...(this.branch === undefined ? {} : { branch: this.branch }) };
    add(classScope.attributes, full);
  }

  protected addParameter(scope: Scope, parameter: Parameter, span: Span): void {
    scope.parameters.push(parameter);
    add(scope.bindings, { name: parameter.name, kind: 'parameter', parameter, span: spanOf(span), scope });
  }

  protected inScope(scope: Scope, body: () => void): void {
    const { scope: outer, branch } = this;
    this.scope = scope;
    this.branch = undefined;
    scope.body = this.collect(body);
    this.scope = outer;
    this.branch = branch;
  }

  protected inBranch(node: SyntaxNode, body: () => void): void {
    const outer = this.branch;
    this.branch = node.start;
    body();
    this.branch = outer;
  }

  protected newScope(kind: Scope['kind'], node: SyntaxNode, name?: string, isStatic = false): Scope {
    return newScope(kind, node, name, this.scope, isStatic);
  }

  protected textOf(node: Span): string {
    return this.text.slice(node.start, node.end);
  }

  private deeper<T>(body: () => T, tooDeep: () => T): T {
    if (this.depth >= deepest) return tooDeep();
    this.depth++;
    const result = body();
    this.depth--;
    return result;
  }
}

export function isComment(node: SyntaxNode): boolean {
  return node.type === 'comment';
}

export function spanOf({ start, end }: Span): Span {
  return { start, end };
}

/** The class whose instance `self` or `this` is, seen from a scope. */
export function enclosingClass(scope: Scope): Scope | undefined {
  for (let one: Scope | undefined = scope; one; one = one.parent) if (one.kind === 'class') return one;
  return undefined;
}

/** Item `index` of a value, for `a, b = value`. */
export function itemOf(value: Expression, index: number, at: Span): Expression {
  if (value.kind === 'list' && !value.items.some((item) => item.kind === 'spread')) {
    const item = value.items[index];
    if (item) return item;
  }
  const { scope } = value;
  return {
    kind: 'subscript', object: value, scope, start: at.start, end: at.end,
    index: { kind: 'number', value: index, scope, start: at.start, end: at.start },
  };
}

function newScope(kind: Scope['kind'], span: Span, name?: string, parent?: Scope, isStatic = false): Scope {
  return {
    kind,
    ...(name === undefined ? {} : { name }),
    ...(parent ? { parent } : {}),
    span: spanOf(span),
    bindings: new Map(),
    attributes: new Map(),
    parameters: [],
    bases: [],
    body: [],
    ...(isStatic ? { static: true } : {}),
  };
}

function add(map: Map<string, Binding[]>, binding: Binding): void {
  const list = map.get(binding.name);
  if (list) list.push(binding);
  else map.set(binding.name, [binding]);
}
