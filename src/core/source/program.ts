import type { Span } from './definition';

/**
 * What the two grammars (Python; JavaScript and TypeScript) are lowered to: the expressions and bindings that say how
 * a model is defined, without the languages' differences. Every rule about layers, constants and edits exists once,
 * on this.
 */
export interface Program {
  readonly text: string;
  readonly root: Scope;
  /** All statements of all scopes, in the order of the text. */
  readonly statements: readonly Statement[];
  /** 'keras.layers' of `from keras.layers import *`. */
  readonly starImports: readonly string[];
  /** What may run several times: bodies of loops, comprehensions, callbacks of `map`. */
  readonly loops: readonly Span[];
}

/** A module, class or function. */
export interface Scope {
  readonly kind: 'module' | 'class' | 'function';
  readonly name?: string;
  readonly parent?: Scope;
  readonly span: Span;
  /** Names bound here, with every place that binds them, in the order of the text. */
  readonly bindings: Map<string, Binding[]>;
  /** Of a class: what its methods store on the instance (`self.width = width`). */
  readonly attributes: Map<string, Binding[]>;
  /** Of a function: its parameters in order; `self` is not one of them. */
  readonly parameters: Parameter[];
  /** Base classes. */
  readonly bases: Expression[];
  /** What it does, in order: for following the code step by step. Python only. */
  body: readonly Step[];
  /** Of a function: called on a class, without an instance. */
  readonly static?: boolean;
}

/** A step of a body, with the steps inside it. */
export type Step =
  | { readonly kind: 'statement'; readonly statement: Statement }
  | { readonly kind: 'define'; readonly name: string; readonly scope: Scope }
  | { readonly kind: 'import'; readonly name: string; readonly module: string }
  | { readonly kind: 'for'; readonly span: Span; readonly target: Expression; readonly iterable: Expression; readonly body: readonly Step[] }
  | { readonly kind: 'if'; readonly span: Span; readonly cases: readonly { readonly test?: Expression; readonly body: readonly Step[] }[] }
  | { readonly kind: 'break' | 'continue' | 'raise'; readonly span: Span }
  /** A loop whose end is not known beforehand. */
  | { readonly kind: 'while'; readonly span: Span };

export interface Parameter {
  readonly name: string;
  readonly default?: Expression;
  /** Position in the call; undefined when it can only be given by name. */
  readonly position?: number;
  /** Key inside the object at that position, for `function build({ filters = 16 })`. */
  readonly property?: string;
  /** Takes all further arguments. */
  readonly rest?: boolean;
  /** Takes all further arguments that are given by name. */
  readonly keywords?: boolean;
}

export interface Binding {
  readonly name: string;
  readonly span: Span;
  readonly scope: Scope;
  readonly kind: 'value' | 'parameter' | 'import' | 'definition' | 'changing';
  /** Of a value: what is bound. */
  readonly value?: Expression;
  readonly parameter?: Parameter;
  /** Of an import: 'keras.layers', '@tensorflow/tfjs'. */
  readonly module?: string;
  /** Of a class or function: its own scope. */
  readonly defines?: Scope;
  /** The innermost loop or condition around it, as its start offset; undefined on the straight line of its scope. */
  readonly branch?: number;
}

export interface Statement {
  readonly span: Span;
  readonly scope: Scope;
  readonly value: Expression;
  /** What it is assigned to. */
  readonly target?: Expression;
  readonly kind: 'assign' | 'augment' | 'expression' | 'return' | 'default';
  /** Of an augmented assignment: '+='. */
  readonly operator?: string;
}

interface Node extends Span {
  readonly scope: Scope;
}

export interface NumberNode extends Node { readonly kind: 'number'; readonly value: number }
export interface StringNode extends Node {
  readonly kind: 'string';
  readonly value: string;
  /** The characters between the quotes, when they are the value as it stands. */
  readonly content?: Span;
}
export interface ConstantNode extends Node { readonly kind: 'constant'; readonly value: boolean | null }
export interface NameNode extends Node {
  readonly kind: 'name';
  readonly name: string;
  /** Is key and value at once: `{ filters }`. */
  readonly shorthand?: boolean;
}
export interface MemberNode extends Node { readonly kind: 'member'; readonly object: Expression; readonly name: string }
export interface SubscriptNode extends Node { readonly kind: 'subscript'; readonly object: Expression; readonly index: Expression }
export interface CallNode extends Node { readonly kind: 'call'; readonly callee: Expression; readonly arguments: readonly Argument[] }
export interface ListNode extends Node { readonly kind: 'list'; readonly items: readonly Expression[] }
export interface DictNode extends Node { readonly kind: 'dict'; readonly entries: readonly Entry[] }
export interface UnaryNode extends Node { readonly kind: 'unary'; readonly operator: string; readonly operand: Expression }
export interface BinaryNode extends Node { readonly kind: 'binary'; readonly operator: string; readonly left: Expression; readonly right: Expression }
export interface SpreadNode extends Node { readonly kind: 'spread'; readonly operand: Expression }
/** Anything else, with the expressions in it: comparisons, lambdas, comprehensions, interpolated strings. */
export interface OtherNode extends Node { readonly kind: 'other'; readonly type: string; readonly parts: readonly Expression[]; readonly form?: Form }

/** What some of the others mean, for following the code step by step. */
export type Form =
  | { readonly kind: 'comparison'; readonly operators: readonly string[]; readonly operands: readonly Expression[] }
  | { readonly kind: 'logic'; readonly operator: string; readonly operands: readonly Expression[] }
  | { readonly kind: 'conditional'; readonly then: Expression; readonly test: Expression; readonly otherwise: Expression }
  | { readonly kind: 'lambda'; readonly scope: Scope; readonly body: Expression }
  | {
    readonly kind: 'comprehension'; readonly element: Expression; readonly key?: Expression;
    readonly clauses: readonly { readonly target: Expression; readonly iterable: Expression; readonly tests: readonly Expression[] }[];
  }
  | { readonly kind: 'format'; readonly pieces: readonly (string | Expression)[] }
  | { readonly kind: 'slice'; readonly bounds: readonly (Expression | undefined)[] };

export type Expression =
  | NumberNode | StringNode | ConstantNode | NameNode | MemberNode | SubscriptNode | CallNode | ListNode | DictNode
  | UnaryNode | BinaryNode | SpreadNode | OtherNode;

export interface Argument {
  /** Of a keyword argument. */
  readonly name?: string;
  readonly value: Expression;
}

export interface Entry {
  /** undefined for a spread. */
  readonly key?: Expression;
  readonly value: Expression;
}

/** The expressions directly inside one, in the order of the text. */
export function partsOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case 'member': return [expression.object];
    case 'subscript': return [expression.object, expression.index];
    case 'call': return [expression.callee, ...expression.arguments.map((argument) => argument.value)];
    case 'list': return expression.items;
    case 'dict': return expression.entries.flatMap(({ key, value }) => (key ? [key, value] : [value]));
    case 'unary': case 'spread': return [expression.operand];
    case 'binary': return [expression.left, expression.right];
    case 'other': return expression.parts;
    default: return [];
  }
}

/** Every expression of a program with the ones around it, outermost first, and its statement. */
export function forEachExpression(
  program: Program,
  visit: (expression: Expression, around: readonly Expression[], statement: Statement) => void,
): void {
  const around: Expression[] = [];
  const walk = (expression: Expression, statement: Statement): void => {
    visit(expression, around, statement);
    around.push(expression);
    for (const part of partsOf(expression)) walk(part, statement);
    around.pop();
  };
  for (const statement of program.statements) {
    if (statement.target && statement.target.kind !== 'name') {
      for (const part of partsOf(statement.target)) walk(part, statement);
    }
    walk(statement.value, statement);
  }
}

export function textOf(program: { readonly text: string }, span: Span): string {
  return program.text.slice(span.start, span.end);
}
