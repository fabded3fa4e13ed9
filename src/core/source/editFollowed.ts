import type { ShapeChange } from '../optimise/plan';
import type { Link, ManualEdit, SourceEdit, Span } from './definition';
import { analyseSource, programOf, type AnalysedLayer, type AnalysedSource } from './findDefinitions';
import { followModels, type FollowedLayer, type FollowedModel } from './follow/models';
import type { CallNode, Expression, NumberNode, Scope, Step } from './program';
import type { Language, Parse } from './syntaxTree';
import { afterChange, reshapes, unitOf, type SizeTarget } from './wantedSizes';
import { solveSizes } from './solveSizes';

/** A size of one layer with what it has to become. */
interface Wanted {
  readonly place: number;
  readonly argument: string;
  readonly current: number;
  readonly wanted: number;
  readonly target: Omit<SizeTarget, 'place'>;
}

interface Draft {
  readonly span: Span;
  readonly text: string;
  readonly label: string;
}

export interface FollowedEdits {
  readonly edits: readonly SourceEdit[];
  readonly manual: readonly ManualEdit[];
}

/**
 * Edits of a definition that makes several layers (a loop, a factory, a block that is used again): a literal where changing it is
 * right for all layers that it reaches, else the call, else a list with one width a layer, which the loop goes along. Every
 * candidate is judged by following the changed code: the sizes that are wanted must come nearer, and nothing else may change.
 *
 * @returns undefined where the code needs none of this: each changed definition makes one layer
 */
export function editFollowed(
  source: AnalysedSource, language: Language, parse: Parse, links: readonly Link[], changes: readonly ShapeChange[],
): FollowedEdits | undefined {
  const model = modelOf(source, links);
  if (!model || !isRepeated(source, model, links, changes)) return undefined;
  const manual: ManualEdit[] = [];
  const wanted = wantedOf(source, model, links, changes, manual);
  const baseline = snapshot(model);
  const goal = wanted.filter((one) => one.wanted !== one.current);
  const literals = settleLiterals(source, model, wanted, baseline);
  let drafts = [...literals].map(([literal, value]): Draft => {
    const own = goal.filter(({ place, argument }) => readsOf(model.layers[place]!, argument).has(literal));
    return { span: spanOf(literal), text: String(value), label: labelOf(own, source.scopes.program.text.slice(literal.start, literal.end), value) };
  });
  const left = mismatches(refollow(source, literals, model.name), wanted);
  const groups = new Map<string, Wanted[]>();
  for (const one of left) {
    const call = model.layers[one.place]!.call;
    const key = `${call.start}:${call.end}:${one.argument}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  const lists = new ListNames(source.scopes.program.text);
  for (const group of groups.values()) {
    const [first] = group;
    const { call } = model.layers[first!.place]!;
    const all = wanted.filter(({ place, argument }) => model.layers[place]!.call === call && argument === first!.argument);
    const own = callEdit(source, call, all) ?? loopEdit(source, call, all, lists);
    if (own) drafts = [...drafts.filter((draft) => !own.some(({ span }) => span.start < span.end && within(draft.span, span))), ...own];
    else manual.push(byHand(all, first!));
  }
  drafts = merged(drafts);
  const shapes = reshapeEdits(source, goal);
  const text = applied(source.scopes.program.text, [...drafts, ...shapes]);
  const after = followModels(programOf(text, language, parse)).find((one) => one.name === model.name);
  const wrong = after && sameBut(after, model) ? mismatches(after, wanted) : undefined;
  const stays = new Set(left.filter((one) => manual.some(({ span }) => span.start === one.target.expression.start)));
  const bad = wrong?.filter((one) => ![...stays].some((other) => other.place === one.place && other.argument === one.argument));
  const errors = analyseSource(text, language, parse).errors;
  if (!bad || bad.length > 0 || errors > source.errors) {
    // Literals alone are known to be right; what was written around them is not.
    const safe = drafts.filter(({ span }) => [...literals.keys()].some((literal) => literal.start === span.start && literal.end === span.end));
    const rest = [...groups.values()].map((group) => byHand(group, group[0]!));
    return { edits: [...safe, ...shapes], manual: [...manual, ...rest] };
  }
  return { edits: [...drafts, ...shapes].sort((a, b) => a.span.start - b.span.start), manual };
}

function modelOf(source: AnalysedSource, links: readonly Link[]): FollowedModel | undefined {
  const names = links.flatMap(({ instance }) => (instance ? [instance.model] : []));
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  const [best] = [...counts].sort((a, b) => b[1] - a[1]);
  return best && source.models.find((model) => model.name === best[0]);
}

function isRepeated(source: AnalysedSource, model: FollowedModel, links: readonly Link[], changes: readonly ShapeChange[]): boolean {
  const changed = new Set(changes.map(({ layer }) => layer));
  return links.some(({ layer, instance, definition }) => {
    if (!changed.has(layer) || instance?.model !== model.name || instance.path?.includes('*')) return false;
    const own = definition.instances?.filter((one) => one.model === model.name) ?? [];
    return own.length > 1 || definition.sizes.some(({ value, argument }) => value === undefined && instance.sizes[argument] !== undefined);
  });
}

function wantedOf(
  source: AnalysedSource, model: FollowedModel, links: readonly Link[], changes: readonly ShapeChange[], manual: ManualEdit[],
): Wanted[] {
  const changeOf = new Map(changes.map((change) => [change.layer, change]));
  const byPlace = new Map(links.flatMap((link) => (link.instance?.model === model.name ? [[link.instance.place, link] as const] : [])));
  const layerOf = new Map<CallNode, AnalysedLayer>(source.layers.map((layer) => [layer.found.call, layer]));
  return model.layers.flatMap(({ call, instance }, place): Wanted[] => {
    const layer = layerOf.get(call);
    const link = byPlace.get(place);
    const change = link && changeOf.get(link.layer);
    return (layer?.found.sizes ?? []).flatMap((size): Wanted[] => {
      const current = instance.sizes[size.argument];
      if (current === undefined || !layer) return [];
      const after = change ? afterChange(size, layer, change, current) : current;
      if (after === 'mismatch' || after === undefined) {
        manual.push({ span: spanOf(size.expression), reason: `${link?.layer ?? ''}: the code says ${size.argument} is ${current}, which is not the size that the model has` });
        return [];
      }
      const target = {
        title: instance.path ?? layer.definition.name ?? layer.found.type, unit: unitOf(layer, size.role), role: size.role,
        expression: size.expression, current, wanted: after,
      };
      return [{ place, argument: size.argument, current, wanted: after, target }];
    });
  });
}

/** Literals that can be changed alone, one after the other, each making more sizes right and none wrong. */
function settleLiterals(source: AnalysedSource, model: FollowedModel, wanted: readonly Wanted[], baseline: string): Map<NumberNode, number> {
  const accepted = new Map<NumberNode, number>();
  const refused = new Set<string>();
  let now: FollowedModel | undefined = model;
  let open = mismatches(model, wanted);
  for (let round = 0; round < 200 && open.length > 0 && now; round++) {
    let found = false;
    for (const one of open) {
      for (const [literal, value] of candidates(now!.layers[one.place]!, one)) {
        const key = `${literal.start}:${value}`;
        if (refused.has(key) || accepted.has(literal)) continue;
        const trial = new Map([...accepted, [literal, value]]);
        const after = refollow(source, trial, model.name);
        const wrong = after && snapshot(after) === baseline ? mismatches(after, wanted) : undefined;
        const worse = !wrong || wrong.length >= open.length || wrong.some((bad) => !open.includes(bad));
        if (worse) {
          refused.add(key);
          continue;
        }
        accepted.set(literal, value);
        now = after;
        open = wrong;
        refused.clear();
        found = true;
        break;
      }
      if (found) break;
    }
    if (!found) break;
  }
  return accepted;
}

/** What a literal would have to be for a size to be right: the number itself, its share of a product, its part of a sum. */
function candidates(layer: FollowedLayer, { argument, wanted }: Wanted): [NumberNode, number][] {
  const value = layer.sizes.get(argument);
  if (value?.kind !== 'number') return [];
  if (value.literal) return [[value.literal, wanted]];
  return [...value.reads].flatMap((literal): [NumberNode, number][] => {
    const options = [(literal.value * wanted) / value.value, literal.value + wanted - value.value];
    return options.filter((one) => Number.isInteger(one) && one > 0 && one !== literal.value).map((one) => [literal, one]);
  });
}

function readsOf(layer: FollowedLayer, argument: string): ReadonlySet<NumberNode> {
  const value = layer.sizes.get(argument);
  return value?.kind === 'number' ? value.reads : new Set();
}

function refollow(source: AnalysedSource, overrides: ReadonlyMap<NumberNode, number>, name: string): FollowedModel | undefined {
  return followModels(source.scopes.program, overrides).find((model) => model.name === name);
}

function mismatches(model: FollowedModel | undefined, wanted: readonly Wanted[]): Wanted[] {
  return wanted.filter(({ place, argument, wanted: size }) => model?.layers[place]?.instance.sizes[argument] !== size);
}

/** All that an edit of sizes must leave as it is: layers, paths, and every number that is no size. */
function snapshot(model: FollowedModel): string {
  return JSON.stringify(model.layers.map(({ module, instance, sizes }) => [
    module.type, instance.path,
    module.positional.map((value, index) => (value.kind === 'number' && ![...sizes.values()].includes(value) ? [index, value.value] : 0)),
    [...module.keywords].map(([name, value]) => [name, value.kind === 'number' && !sizes.has(name) ? value.value : 0]),
  ]));
}

function sameBut(after: FollowedModel, before: FollowedModel): boolean {
  return snapshot(after) === snapshot(before);
}

/** All layers of a call want the same number: it is written there. */
function callEdit(source: AnalysedSource, call: CallNode, all: readonly Wanted[]): Draft[] | undefined {
  const sizes = new Set(all.map(({ wanted }) => wanted));
  const [only] = sizes;
  const expression = all[0]?.target.expression;
  if (sizes.size !== 1 || only === undefined || !expression || !within(expression, call)) return undefined;
  return [{ span: spanOf(expression), text: String(only), label: labelOf(all, textAt(source, expression), only) }];
}

/** A list with one number for each time that the loop goes round. */
function loopEdit(source: AnalysedSource, call: CallNode, all: readonly Wanted[], names: ListNames): Draft[] | undefined {
  const expression = all[0]?.target.expression;
  if (!expression || !within(expression, call)) return undefined;
  const { text } = source.scopes.program;
  const sizes = all.map(({ wanted }) => wanted);
  const loop = loopAround(functionOf(call).body, call);
  const around = loop ?? comprehensionAround(source, call);
  if (!around || around.several) return undefined;
  const name = names.listFor(all[0]!.target.role);
  const label = labelOf(all, textAt(source, expression), `${name.list}[…]`);
  const counter = counterOf(around.target, around.iterable);
  const lineStart = text.lastIndexOf('\n', around.statement - 1) + 1;
  const indent = /^[ \t]*/.exec(text.slice(lineStart, around.statement))![0];
  const newline = text.includes('\r\n') ? '\r\n' : '\n';
  const declare: Draft = { span: { start: lineStart, end: lineStart }, text: `${indent}${name.list} = [${sizes.join(', ')}]${newline}`, label };
  if (text.slice(lineStart, around.statement).trim() !== '') return undefined;
  if (counter) return [declare, { span: spanOf(expression), text: `${name.list}[${counter}]`, label }];
  const target = text.slice(around.target.start, around.target.end);
  const inner = around.target.kind === 'list' && !target.startsWith('(') ? `(${target})` : target;
  return [
    declare,
    { span: { start: around.target.start, end: around.target.end }, text: `${inner}, ${name.item}`, label },
    { span: { start: around.iterable.start, end: around.iterable.end }, text: `zip(${text.slice(around.iterable.start, around.iterable.end)}, ${name.list})`, label },
    { span: spanOf(expression), text: name.item, label },
  ];
}

interface Around {
  /** Start of the statement that the list is written before. */
  readonly statement: number;
  readonly target: Expression;
  readonly iterable: Expression;
  /** Loops inside one another. */
  readonly several: boolean;
}

/** The function, class or file around a call; a comprehension is none. */
function functionOf(call: CallNode): Scope {
  let scope = call.scope;
  while (scope.parent && scope.body.length === 0) scope = scope.parent;
  return scope;
}

function loopAround(steps: readonly Step[], call: CallNode): Around | undefined {
  for (const step of steps) {
    if (step.kind === 'for' && within(call, step.span)) {
      return { statement: step.span.start, target: step.target, iterable: step.iterable, several: loopAround(step.body, call) !== undefined };
    }
    if (step.kind === 'if') {
      for (const one of step.cases) {
        const found = loopAround(one.body, call);
        if (found) return found;
      }
    }
  }
  return undefined;
}

function comprehensionAround(source: AnalysedSource, call: CallNode): Around | undefined {
  for (const { value, span } of source.scopes.program.statements) {
    if (!within(call, span)) continue;
    const found: Expression[] = [];
    const walk = (one: Expression): void => {
      if (!within(call, one)) return;
      if (one.kind === 'other' && one.form?.kind === 'comprehension') found.push(one);
      for (const part of partsIn(one)) walk(part);
    };
    walk(value);
    const [form] = found.map((one) => (one.kind === 'other' ? one.form : undefined));
    if (form?.kind !== 'comprehension') continue;
    const [clause] = form.clauses;
    return clause && { statement: span.start, target: clause.target, iterable: clause.iterable, several: form.clauses.length > 1 || found.length > 1 };
  }
  return undefined;
}

function partsIn(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case 'call': return [expression.callee, ...expression.arguments.map(({ value }) => value)];
    case 'list': return expression.items;
    case 'dict': return expression.entries.map(({ value }) => value);
    case 'spread': return [expression.operand];
    case 'other': return expression.parts;
    case 'member': return [expression.object];
    case 'binary': return [expression.left, expression.right];
    default: return [];
  }
}

/** `i` of `for i in range(3)` and of `for i, x in enumerate(xs)`. */
function counterOf(target: Expression, iterable: Expression): string | undefined {
  if (iterable.kind !== 'call' || iterable.callee.kind !== 'name') return undefined;
  const from = iterable.arguments;
  if (iterable.callee.name === 'range' && target.kind === 'name' && target.name !== '_' && from.length === 1) return target.name;
  const first = target.kind === 'list' ? target.items[0] : undefined;
  if (iterable.callee.name === 'enumerate' && first?.kind === 'name' && first.name !== '_' && from.length === 1) return first.name;
  return undefined;
}

/** Names for new lists that the file does not use yet. */
class ListNames {
  private readonly taken = new Set<string>();

  constructor(private readonly text: string) {}

  listFor(role: string): { list: string; item: string } {
    const base = role === 'inputWidth' ? 'in_widths' : role === 'groups' ? 'group_counts' : 'widths';
    const item = base.slice(0, -1);
    for (let number = 1; ; number++) {
      const suffix = number === 1 ? '' : `_${number}`;
      const list = base + suffix;
      if (this.taken.has(list) || this.text.includes(list) || new RegExp(`\\b${item}${suffix}\\b`).test(this.text)) continue;
      this.taken.add(list);
      return { list, item: item + suffix };
    }
  }
}

/** Two lists for one loop go into one header. */
function merged(drafts: readonly Draft[]): Draft[] {
  const byPlace = new Map<string, Draft>();
  for (const draft of drafts) {
    const key = `${draft.span.start}:${draft.span.end}`;
    const before = byPlace.get(key);
    if (!before) byPlace.set(key, draft);
    else if (draft.span.start === draft.span.end) byPlace.set(key, { ...before, text: before.text + draft.text });
    else if (before.text.startsWith('zip(')) byPlace.set(key, { ...before, text: `${before.text.slice(0, -1)}, ${draft.text.slice(draft.text.lastIndexOf(', ') + 2)}` });
    else if (before.text !== draft.text) byPlace.set(key, { ...before, text: `${before.text}, ${draft.text.slice(draft.text.lastIndexOf(', ') + 2)}` });
  }
  return [...byPlace.values()].sort((a, b) => a.span.start - b.span.start);
}

function reshapeEdits(source: AnalysedSource, goal: readonly Wanted[]): Draft[] {
  const targets = reshapes(source, goal.map(({ target }) => target));
  return solveSizes(source, targets).map(({ expression, value, targets: own }) => ({
    span: spanOf(expression), text: String(value), label: `${own[0]?.title ?? 'reshape'}: ${own[0]?.current ?? ''} → ${own[0]?.wanted ?? value} values`,
  }));
}

function labelOf(all: readonly Wanted[], before: string, after: number | string): string {
  const changed = all.filter((one) => one.wanted !== one.current);
  const main = changed.find(({ target }) => target.role === 'width') ?? changed[0];
  if (!main) return `${before} → ${after}`;
  const more = new Set(changed.map(({ target }) => target.title)).size - 1;
  return `${main.target.title}${more > 0 ? ` and ${more} more` : ''}: ${main.current} → ${main.wanted} ${main.target.unit}`;
}

function byHand(all: readonly Wanted[], first: Wanted): ManualEdit {
  const sizes = [...new Set(all.map(({ wanted, target }) => `${wanted} for ${target.title}`))].slice(0, 4).join(', ');
  return {
    span: spanOf(first.target.expression),
    reason: `one definition makes ${all.length} layers that need different sizes (${sizes}); give each its own, for instance by a parameter`,
  };
}

function applied(text: string, drafts: readonly Draft[]): string {
  let result = '';
  let done = 0;
  for (const { span, text: written } of [...drafts].sort((a, b) => a.span.start - b.span.start)) {
    if (span.start < done) continue;
    result += text.slice(done, span.start) + written;
    done = span.end;
  }
  return result + text.slice(done);
}

function textAt(source: AnalysedSource, { start, end }: Span): string {
  return source.scopes.program.text.slice(start, end);
}

function within(inner: Span, outer: Span): boolean {
  return outer.start <= inner.start && inner.end <= outer.end;
}

function spanOf({ start, end }: Span): Span {
  return { start, end };
}
