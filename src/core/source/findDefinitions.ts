import type { LayerDefinition, LayerInstance, SizeArgument, Span } from './definition';
import { evaluate } from './evaluateExpression';
import { ownerOf, type FoundLayer, type FoundSize } from './frameworkReader';
import { frameworks } from './frameworks';
import { lowerJavaScript } from './lowerJavaScript';
import { lowerPython } from './lowerPython';
import type { CallNode, NumberNode, Program } from './program';
import { Scopes } from './scopes';
import type { Language, Parse, SyntaxNode } from './syntaxTree';
import { findUses, type Use } from './uses';
import { followModels, type FollowedModel } from './follow/models';

/**
 * Layer definitions of Keras, PyTorch and TensorFlow.js in a source file, in the order of the text. Nothing is run;
 * sizes that only running would tell have no value and say why. Works on files with syntax errors.
 */
export function findDefinitions(text: string, language: Language, parse: Parse): LayerDefinition[] {
  return analyseSource(text, language, parse).layers.map((layer) => layer.definition);
}

/** A source file with its layers and the expressions behind them. */
export interface AnalysedSource {
  readonly scopes: Scopes;
  readonly layers: readonly AnalysedLayer[];
  readonly uses: ReadonlyMap<NumberNode, readonly Use[]>;
  /** The models that the code makes, as far as it can be followed. */
  readonly models: readonly FollowedModel[];
  /** Places that the parser could not read. */
  readonly errors: number;
}

export interface AnalysedLayer {
  readonly definition: LayerDefinition;
  readonly found: FoundLayer;
}

/** A file in the form that everything else looks at. */
export function programOf(text: string, language: Language, parse: Parse): Program {
  const tree = parse(text, language);
  return language === 'python' ? lowerPython(tree) : lowerJavaScript(tree);
}

export function analyseSource(text: string, language: Language, parse: Parse): AnalysedSource {
  const tree = parse(text, language);
  const program = language === 'python' ? lowerPython(tree) : lowerJavaScript(tree);
  const scopes = new Scopes(program);
  const found = frameworks
    .filter((framework) => framework.languages.includes(language))
    .flatMap((framework) => framework.find(scopes))
    .sort((a, b) => a.call.start - b.call.start);
  const uses = findUses(scopes);
  const models = followModels(program);
  const instances = new Map<CallNode, LayerInstance[]>();
  for (const model of models) {
    for (const { call, instance } of model.layers) {
      const list = instances.get(call);
      if (!list) instances.set(call, [instance]);
      else list.push(instance);
    }
  }
  return {
    scopes, uses, models, errors: countErrors(tree.root),
    layers: found.map((layer) => ({ found: layer, definition: definitionOf(layer, scopes, uses, instances.get(layer.call)) })),
  };
}

function definitionOf(
  layer: FoundLayer, scopes: Scopes, uses: AnalysedSource['uses'], instances: readonly LayerInstance[] | undefined,
): LayerDefinition {
  const owner = ownerOf(layer.call.scope);
  return {
    framework: layer.framework,
    ...(layer.name === undefined ? {} : { name: layer.name }),
    named: layer.named,
    ...(owner === undefined ? {} : { owner }),
    type: layer.type,
    span: { start: layer.call.start, end: layer.call.end },
    anchor: layer.anchor,
    sizes: layer.sizes.map((size) => sizeOf(size, scopes, uses)),
    ...(instances ? { instances } : {}),
  };
}

function sizeOf({ role, argument, expression }: FoundSize, scopes: Scopes, uses: AnalysedSource['uses']): SizeArgument {
  const { value, literal, reason } = evaluate(expression, scopes);
  const others = literal ? (uses.get(literal) ?? []).filter((use) => use.reference !== expression) : [];
  return {
    role,
    argument,
    span: span(expression),
    ...(typeof value === 'number' ? { value } : {}),
    ...(literal ? { literal: span(literal) } : {}),
    sharedWith: others.map((use) => span(use.reference)),
    ...(literal ? {} : { reason: reason ?? 'it is computed from other numbers' }),
  };
}

function countErrors(root: SyntaxNode): number {
  let errors = 0;
  // Not by recursion: a hostile file nests deeper than the stack.
  for (const open = [root]; open.length > 0; ) {
    const node = open.pop()!;
    if (node.type === 'ERROR' || node.missing) errors++;
    for (const one of node.children) open.push(one);
  }
  return errors;
}

function span({ start, end }: Span): Span {
  return { start, end };
}
