import type { ShapeChange } from '../optimise/plan';
import type { Link, ManualEdit, SourceEdit, Span } from './definition';
import { editFollowed } from './editFollowed';
import { evaluate } from './evaluateExpression';
import { analyseSource, type AnalysedSource } from './findDefinitions';
import type { Expression } from './program';
import { solveSizes, type Replacement } from './solveSizes';
import type { Language, Parse } from './syntaxTree';
import { wantedSizes, type SizeTarget } from './wantedSizes';

export interface SourceEdits {
  /** Do not overlap; in the order of the text. */
  readonly edits: readonly SourceEdit[];
  /** What has to be changed by hand, and why. */
  readonly manual: readonly ManualEdit[];
}

/**
 * The edits that make a file's layer definitions say the shapes of the changed model: widths and all that follows from
 * them, in the style in which they are written. The edited text is read again, and an edit after which a size is
 * not what it has to be is not offered but named as one to make by hand.
 *
 * @param links of this text's definitions to the layers of the model
 * @param changes of the model's layers; layers without a change keep their sizes
 */
export function editSource(
  text: string,
  language: Language,
  parse: Parse,
  links: readonly Link[],
  changes: readonly ShapeChange[],
): SourceEdits {
  const source = analyseSource(text, language, parse);
  const followed = editFollowed(source, language, parse, links, changes);
  if (followed) return followed;
  const wanted = wantedSizes(source, links, changes);
  const manual = [...wanted.manual];
  let replacements = withoutOverlap(solveSizes(source, wanted.targets), manual);
  // Sizes that are left to hand keep what they are.
  let targets = wanted.targets;
  for (let round = 0; replacements.length > 0; round++) {
    const wrong = wrongSizes(applyEdits(text, replacements.map(editOf)), language, parse, source, targets);
    if (wrong === undefined || round > 4) {
      manual.push(...replacements.map((one) => byHand(one, 'the edited file could not be read again')));
      replacements = [];
    } else if (wrong.length === 0) {
      break;
    } else {
      const guilty = replacements.filter((one) => one.targets.some((target) => wrong.includes(target)));
      const taken = guilty.length > 0 ? guilty : replacements;
      manual.push(...taken.map((one) => byHand(one, 'the edited file would not have this size')));
      replacements = replacements.filter((one) => !taken.includes(one));
      targets = targets.filter((target) => !taken.some((one) => one.targets.includes(target)));
    }
  }
  return { edits: replacements.map(editOf), manual: sorted(manual) };
}

/** A text with edits applied; they must not overlap. */
export function applyEdits(text: string, edits: readonly { readonly span: Span; readonly text: string }[]): string {
  let result = '';
  let done = 0;
  for (const edit of sorted(edits)) {
    result += text.slice(done, edit.span.start) + edit.text;
    done = edit.span.end;
  }
  return result + text.slice(done);
}

/** Sizes that the edited text does not have; undefined when it has not even the same layers, or new syntax errors. */
function wrongSizes(
  text: string, language: Language, parse: Parse, before: AnalysedSource, targets: readonly SizeTarget[],
): SizeTarget[] | undefined {
  const edited = analyseSource(text, language, parse);
  if (edited.layers.length !== before.layers.length || edited.errors > before.errors) return undefined;
  return targets.filter(({ place, wanted }) => {
    if (!place) return false;
    const size = edited.layers[place.layer]?.found.sizes[place.size];
    return size === undefined || evaluate(size.expression, edited.scopes).value !== wanted;
  });
}

function withoutOverlap(replacements: readonly Replacement[], manual: ManualEdit[]): Replacement[] {
  const kept: Replacement[] = [];
  for (const one of replacements) {
    const last = kept.at(-1);
    if (last && one.expression.start < last.expression.end) manual.push(byHand(one, 'it overlaps another edit'));
    else kept.push(one);
  }
  return kept;
}

function editOf({ expression, value, targets }: Replacement): SourceEdit {
  return { span: { start: expression.start, end: expression.end }, text: written(expression, value), label: labelOf(targets) };
}

function written(expression: Expression, value: number): string {
  return expression.kind === 'name' && expression.shorthand ? `${expression.name}: ${value}` : String(value);
}

/** 'conv1: 16 → 9 kernels' */
function labelOf(targets: readonly SizeTarget[]): string {
  const changed = targets.filter((target) => target.current !== target.wanted);
  const main = changed.find((target) => target.role === 'width') ?? changed[0];
  return main ? `${main.title}: ${main.current} → ${main.wanted} ${main.unit}` : 'size';
}

function byHand({ expression, value, targets }: Replacement, why: string): ManualEdit {
  return { span: { start: expression.start, end: expression.end }, reason: `${labelOf(targets)}: write ${value} here; ${why}` };
}

function sorted<T extends { readonly span: Span }>(list: readonly T[]): T[] {
  return [...list].sort((a, b) => a.span.start - b.span.start);
}
