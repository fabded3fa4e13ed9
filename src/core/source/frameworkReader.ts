import type { Framework, SizeRole, Span } from './definition';
import { partsOf, type CallNode, type Expression, type Program, type Scope, type Statement } from './program';
import type { Scopes } from './scopes';
import type { Language } from './syntaxTree';

/** How one framework writes its layers. */
export interface FrameworkReader {
  readonly framework: Framework;
  readonly languages: readonly Language[];
  /** Layers in the order of the text; sizes in the order of the framework's parameters. */
  find(scopes: Scopes): FoundLayer[];
  /** The type of a layer or container by its full name: 'Conv2d' of 'torch.nn.Conv2d'; undefined for anything else. */
  layerOf(qualified: string): string | undefined;
  parametersOf(type: string): readonly SizeParameter[];
}

/** A layer definition with its expressions, before they are worth anything. */
export interface FoundLayer {
  readonly framework: Framework;
  readonly name?: string;
  readonly named: boolean;
  readonly type: string;
  readonly call: CallNode;
  readonly anchor: Span;
  readonly sizes: readonly FoundSize[];
}

export interface FoundSize {
  readonly role: SizeRole;
  readonly argument: string;
  readonly expression: Expression;
}

/** A size parameter of a layer type: its role, its name and its position in the call. */
export type SizeParameter = readonly [role: SizeRole, argument: string, position?: number];

/** Sizes given to a call, by the layer type's parameters. */
export function sizesOf(call: CallNode, parameters: readonly SizeParameter[], scopes: Scopes): FoundSize[] {
  return parameters.flatMap(([role, argument, position]) => {
    const expression = scopes.argument(call, argument, position);
    return expression ? [{ role, argument, expression }] : [];
  });
}

/** Every call of a program, with the statement that it is in. */
export function callsOf(program: Program): { call: CallNode; statement: Statement }[] {
  const found = new Map<CallNode, Statement>();
  const walk = (expression: Expression, statement: Statement): void => {
    if (expression.kind === 'call' && !found.has(expression)) found.set(expression, statement);
    for (const part of partsOf(expression)) walk(part, statement);
  };
  for (const statement of program.statements) walk(statement.value, statement);
  return [...found].map(([call, statement]) => ({ call, statement })).sort((a, b) => a.call.start - b.call.start);
}

/**
 * The variable or attribute that a statement gives a layer: `conv1 = Conv2D(...)`, `this.conv1 = ...`, and for
 * functional code `conv1 = Conv2D(...)(x)`. A variable that is used again and again (`x`) names nothing.
 */
export function variableName(call: CallNode, { kind, target, value, scope }: Statement): string | undefined {
  if (kind !== 'assign' || !target) return undefined;
  if (value !== call && !appliesLayer(value, call)) return undefined;
  if (target.kind === 'member') {
    return target.object.kind === 'name' && (target.object.name === 'self' || target.object.name === 'this') ? target.name : undefined;
  }
  if (target.kind !== 'name') return undefined;
  return (scope.bindings.get(target.name)?.length ?? 0) > 1 ? undefined : target.name;
}

/** The outermost class or function around an expression. */
export function ownerOf(scope: Scope): string | undefined {
  let owner: string | undefined;
  for (let one: Scope | undefined = scope; one; one = one.parent) if (one.kind !== 'module' && one.name) owner = one.name;
  return owner;
}

/** `layer(x)` and `layer.apply(x)`. */
function appliesLayer(value: Expression, call: CallNode): boolean {
  if (value.kind !== 'call') return false;
  return value.callee === call || (value.callee.kind === 'member' && value.callee.name === 'apply' && value.callee.object === call);
}
