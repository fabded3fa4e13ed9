import type { ShapeChange } from '../optimise/plan';
import type { Link, ManualEdit, SizeRole, Span } from './definition';
import { evaluate } from './evaluateExpression';
import type { AnalysedLayer, AnalysedSource } from './findDefinitions';
import type { FoundSize } from './frameworkReader';
import { familyOf, particlesOf } from './layerFamily';
import { callsOf } from './frameworkReader';
import type { Expression, Scope } from './program';

/** A size in the code with what it is and what it has to become (the same, for most). */
export interface SizeTarget {
  /** 'conv1', for messages. */
  readonly title: string;
  /** 'kernels', 'inputs': what is counted. */
  readonly unit: string;
  readonly role: SizeRole | 'reshape';
  readonly expression: Expression;
  readonly current: number;
  readonly wanted: number;
  /** Index of the layer and of the size in it, to find it again in the edited text; undefined for a reshape. */
  readonly place?: { readonly layer: number; readonly size: number };
}

export interface WantedSizes {
  readonly targets: readonly SizeTarget[];
  readonly manual: readonly ManualEdit[];
}

/** What each size in a file has to become, from the shape changes of the layers that its definitions are linked to. */
export function wantedSizes(source: AnalysedSource, links: readonly Link[], changes: readonly ShapeChange[]): WantedSizes {
  const changeOf = new Map(changes.map((change) => [change.layer, change]));
  const targets: SizeTarget[] = [];
  const manual: ManualEdit[] = [];
  const linksOf = new Map<AnalysedLayer, Link[]>();
  for (const link of links) {
    const layer = source.layers.find(({ definition: { span, type } }) =>
      span.start === link.definition.span.start && span.end === link.definition.span.end && type === link.definition.type);
    if (layer) linksOf.set(layer, [...(linksOf.get(layer) ?? []), link]);
    else if (changeOf.has(link.layer)) {
      manual.push({ span: link.definition.span, reason: `the definition of ${link.layer} is not where it was: the file has changed since it was linked` });
    }
  }
  source.layers.forEach((layer, index) => {
    const own = linksOf.get(layer) ?? [];
    const changed = own.flatMap((link) => changeOf.get(link.layer) ?? []);
    if (changed.length > 0 && own.length > 0) checkParameters(layer, changed, manual);
    const repeated = changed.length > 0 && repeatedly(source, layer, own.length);
    layer.found.sizes.forEach((size, sizeIndex) => {
      const target = targetOf(source, layer, size, own, changeOf, { layer: index, size: sizeIndex });
      if (!target) return;
      if ('reason' in target) manual.push(target);
      else if (repeated && target.wanted !== target.current) manual.push({ span: spanOf(size.expression), reason: `${nameOf(layer)} has to become ${target.wanted}, but ${repeated}` });
      else targets.push(target);
    });
  });
  return { targets: [...targets, ...reshapes(source, targets)], manual: [...manual, ...followers(source, linksOf, targets)] };
}

function targetOf(
  source: AnalysedSource,
  layer: AnalysedLayer,
  size: FoundSize,
  links: readonly Link[],
  changeOf: ReadonlyMap<string, ShapeChange>,
  place: { layer: number; size: number },
): SizeTarget | ManualEdit | undefined {
  const { value, reason } = evaluate(size.expression, source.scopes);
  const current = typeof value === 'number' ? value : undefined;
  const wanted = new Map<number, string>();
  for (const link of links) {
    const change = changeOf.get(link.layer);
    const after = change ? afterChange(size, layer, change, current) : current;
    if (after === 'mismatch') {
      return { span: spanOf(size.expression), reason: `${link.layer}: the code says ${size.argument} is ${current}, which is not the size that the model has` };
    }
    if (after !== undefined) wanted.set(after, link.layer);
  }
  if (wanted.size > 1) {
    const sizes = [...wanted].map(([width, name]) => `${width} for ${name}`).join(', ');
    return { span: spanOf(size.expression), reason: `one definition makes ${links.length} layers that need different sizes (${sizes})` };
  }
  const [after] = wanted.keys();
  if (current === undefined) {
    if (after === undefined) return undefined;
    return { span: spanOf(size.expression), reason: `${nameOf(layer)}: ${size.argument} has to become ${after}, but ${reason ?? 'its value is not known'}` };
  }
  // A normalisation that the model has folded away asks for nothing: it follows the layer before it.
  if (links.length === 0 && isNormalisation(layer)) return undefined;
  return {
    title: nameOf(layer), unit: unitOf(layer, size.role), role: size.role, expression: size.expression, current, wanted: after ?? current, place,
  };
}

/** The size after a change; undefined when the change does not say (and the code's own value is not known). */
export function afterChange(size: FoundSize, layer: AnalysedLayer, change: ShapeChange, current?: number): number | 'mismatch' | undefined {
  const { width, inputWidth } = change;
  switch (size.role) {
    case 'width': {
      if (!width || width.before === width.after) return current;
      return current === undefined || current === width.before ? width.after : 'mismatch';
    }
    case 'groups': {
      // Only one group a channel (depthwise) follows the channels.
      const channels = inputWidth ?? width;
      return current !== undefined && current > 1 && channels?.before === current ? channels.after : current;
    }
    case 'inputWidth': {
      const pairs = [inputWidth, ...(isNormalisation(layer) ? [width, ...tensorPairs(change)] : [])].filter((pair) => pair !== undefined);
      const [pair] = pairs;
      if (current === undefined) return pair && pair.before !== pair.after ? pair.after : undefined;
      const exact = pairs.find((one) => one.before === current);
      if (exact) return exact.after;
      // Flattened: the code counts values where the model counts channels, or the reverse.
      const multiple = pairs.find((one) => one.before > 0 && current % one.before === 0);
      if (multiple) return (current / multiple.before) * multiple.after;
      const fromTensor = [...new Set(tensorPairs(change).filter((one) => one.before === current).map((one) => one.after))];
      if (fromTensor.length === 1) return fromTensor[0];
      return pairs.some((one) => one.before !== one.after) ? 'mismatch' : current;
    }
  }
}

function tensorPairs(change: ShapeChange): { before: number; after: number }[] {
  return change.tensors.flatMap(({ before, after }) => before.map((size, axis) => ({ before: size, after: after[axis] ?? size })));
}

/** A width that is not written in the call at all cannot be edited there. */
function checkParameters(layer: AnalysedLayer, changes: readonly ShapeChange[], manual: ManualEdit[]): void {
  const width = changes.find((change) => change.width && change.width.before !== change.width.after)?.width;
  if (!width || layer.found.sizes.some((size) => size.role === 'width')) return;
  const family = familyOf(layer.found.type);
  // A normalisation or a depthwise convolution has no width of its own: it follows its input.
  if (!family || family === 'normalisation' || family === 'depthwiseConvolution') return;
  manual.push({
    span: layer.definition.span,
    reason: `${nameOf(layer)} has to become ${width.after} ${unitOf(layer, 'width')} wide, but the call does not say its width in a way that can be read`,
  });
}

/** Why one definition stands for more layers than it is linked to; false when it does not. */
function repeatedly(source: AnalysedSource, layer: AnalysedLayer, links: number): string | false {
  const { call } = layer.found;
  const inLoop = (span: Span) => source.scopes.program.loops.some((loop) => loop.start <= span.start && span.end <= loop.end);
  if (inLoop(call)) return 'the code makes several layers of it in a loop';
  for (let scope: Scope | undefined = call.scope; scope; scope = scope.parent) {
    if (scope.kind !== 'function') continue;
    const calls = source.scopes.callsOf(scope);
    if (calls.some(inLoop)) return `"${scope.name ?? 'the function around it'}" is called in a loop`;
    // The same model built in two places is one model; two calls in one place are two blocks of it.
    const most = Math.max(0, ...[...new Set(calls.map((one) => one.scope))].map((from) => calls.filter((one) => one.scope === from).length));
    if (most > 1 && links < most) return `"${scope.name ?? 'the function around it'}" makes ${most} layers of it, of which ${links} are known`;
  }
  return false;
}

/** `x.view(-1, 32 * 4 * 4)`: a reshape to the flattened input of a layer whose input changes. */
export function reshapes(source: AnalysedSource, targets: readonly Omit<SizeTarget, 'place'>[]): SizeTarget[] {
  const inputs = targets.filter((target) => target.role === 'inputWidth' && target.current !== target.wanted && target.current > 1);
  if (inputs.length === 0) return [];
  return callsOf(source.scopes.program).flatMap(({ call }): SizeTarget[] => {
    if (call.callee.kind !== 'member' || !reshaping.has(call.callee.name)) return [];
    const given = call.arguments.flatMap(({ value }) => (value.kind === 'list' ? value.items : [value]));
    return given.flatMap((expression): SizeTarget[] => {
      const { value } = evaluate(expression, source.scopes);
      const wanted = new Set(inputs.filter((input) => input.current === value && sameClass(input.expression.scope, call.scope)).map((input) => input.wanted));
      const [only] = wanted;
      if (typeof value !== 'number' || wanted.size !== 1 || only === undefined) return [];
      return [{ title: call.callee.kind === 'member' ? call.callee.name : 'reshape', unit: 'values', role: 'reshape', expression, current: value, wanted: only }];
    });
  });
}

const reshaping = new Set(['view', 'reshape']);

/** Normalisations that the model does not know (folded into their convolution) and that no edit will reach. */
function followers(source: AnalysedSource, links: ReadonlyMap<AnalysedLayer, readonly Link[]>, targets: readonly SizeTarget[]): ManualEdit[] {
  return source.layers.flatMap((layer, index): ManualEdit[] => {
    const [size] = layer.found.sizes;
    if (!size || links.has(layer) || !isNormalisation(layer)) return [];
    const before = targets.filter((target) => target.role === 'width' && target.place !== undefined && target.place.layer < index).at(-1);
    const { value, literal } = evaluate(size.expression, source.scopes);
    if (!before || before.wanted === before.current || value !== before.current || !sameClass(before.expression.scope, size.expression.scope)) return [];
    if (literal && literal === evaluate(before.expression, source.scopes).literal) return [];
    return [{
      span: spanOf(size.expression),
      reason: `${nameOf(layer)} is not a layer of the model; it seems to follow ${before.title}, whose width becomes ${before.wanted}`,
    }];
  });
}

function sameClass(a: Scope, b: Scope): boolean {
  return outer(a) === outer(b);
}

function outer(scope: Scope): Scope {
  let one = scope;
  while (one.parent && one.kind !== 'class') one = one.parent;
  return one;
}

function isNormalisation(layer: AnalysedLayer): boolean {
  return familyOf(layer.found.type) === 'normalisation';
}

function nameOf({ found, definition }: AnalysedLayer): string {
  return definition.name ?? found.type;
}

export function unitOf(layer: AnalysedLayer, role: SizeRole): string {
  if (role === 'groups') return 'groups';
  if (role === 'width') return particlesOf(layer.found.type);
  return isNormalisation(layer) ? 'channels' : 'inputs';
}

function spanOf({ start, end }: Span): Span {
  return { start, end };
}
