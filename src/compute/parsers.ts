import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type * as TreeSitterModule from '@vscode/tree-sitter-wasm';
import { ParticlizeError } from '../core/graph/errors';
import type { Language, Parse, SyntaxNode, SyntaxTree } from '../core/source/syntaxTree';

type TreeSitter = typeof TreeSitterModule;
type TreeSitterParser = TreeSitterModule.Parser;

/** A source file beyond this is not a model definition that somebody wrote, and a tree of it would fill the memory. */
const longestText = 8_000_000;

const parsers = new Map<Language, Promise<TreeSitterParser>>();
let runtime: Promise<TreeSitter> | undefined;

/**
 * Loads the grammars and returns the parse port of core/source for them. Each grammar is loaded once in a process.
 * @throws ParticlizeError when the grammar files are missing
 */
export async function loadParse(languages: readonly Language[]): Promise<Parse> {
  const loaded = new Map<Language, TreeSitterParser>();
  for (const language of languages) loaded.set(language, await parserFor(language));
  return (text, language) => {
    const parser = loaded.get(language);
    if (!parser) throw new Error(`The grammar of ${language} was not asked for when the parser was loaded.`);
    if (text.length > longestText) {
      throw new ParticlizeError({ cause: `the source has ${text.length} characters, more than the ${longestText} that are searched for layers` });
    }
    return parseAfter(parser, language, text);
  };
}

interface Parsed {
  readonly text: string;
  readonly tree: TreeSitterModule.Tree;
  readonly plain: SyntaxTree;
}

/** The last text of each language that was parsed: the next one is often it, with a keystroke more. */
const last = new Map<Language, Parsed>();

/** Parses a text; what it has in common with the one before is not parsed (Wagner & Graham 1998) and not copied again. */
function parseAfter(parser: TreeSitterParser, language: Language, text: string): SyntaxTree {
  const before = last.get(language);
  if (before?.text === text) return before.plain;
  const edit = before && editBetween(before.text, text);
  if (before && edit) {
    before.tree.edit(edit);
    last.delete(language);
  }
  const tree = parser.parse(text, edit && before ? before.tree : null);
  if (!tree) return { root: { type: 'ERROR', start: 0, end: text.length, missing: false, children: [] }, text };
  const changed = edit && before ? before.tree.getChangedRanges(tree) : [];
  const from = Math.min(edit?.startIndex ?? 0, ...changed.map((range) => range.startIndex));
  const kept = edit && before ? before.plain.root.children.filter((node) => node.end < from) : [];
  const plain = plainTree(tree, text, kept);
  last.get(language)?.tree.delete();
  if (edit) before?.tree.delete();
  last.set(language, { text, tree, plain });
  return plain;
}

/** The one stretch in which two texts differ; undefined when they have too little in common. */
function editBetween(a: string, b: string): Parameters<TreeSitterModule.Tree['edit']>[0] | undefined {
  const most = Math.min(a.length, b.length);
  let start = 0;
  while (start < most && a.charCodeAt(start) === b.charCodeAt(start)) start++;
  let end = 0;
  while (end < most - start && a.charCodeAt(a.length - 1 - end) === b.charCodeAt(b.length - 1 - end)) end++;
  if (start + end < Math.max(a.length, b.length) / 2) return undefined;
  const [oldEnd, newEnd] = [a.length - end, b.length - end];
  return {
    startIndex: start, oldEndIndex: oldEnd, newEndIndex: newEnd,
    startPosition: positionAt(a, start), oldEndPosition: positionAt(a, oldEnd), newEndPosition: positionAt(b, newEnd),
  };
}

function positionAt(text: string, index: number): { row: number; column: number } {
  let row = 0;
  let line = 0;
  for (let next = text.indexOf('\n'); next >= 0 && next < index; next = text.indexOf('\n', next + 1)) {
    row++;
    line = next + 1;
  }
  return { row, column: index - line };
}

function parserFor(language: Language): Promise<TreeSitterParser> {
  let parser = parsers.get(language);
  if (!parser) {
    parser = createParser(language);
    parsers.set(language, parser);
    // A failure is not remembered: the file may be there the next time.
    parser.catch(() => parsers.delete(language));
  }
  return parser;
}

async function createParser(language: Language): Promise<TreeSitterParser> {
  const folder = grammarFolder();
  runtime ??= startRuntime(folder);
  runtime.catch(() => (runtime = undefined));
  const { Parser, Language: Grammar } = await runtime;
  const parser = new Parser();
  try {
    parser.setLanguage(await Grammar.load(path.join(folder, `tree-sitter-${language}.wasm`)));
  } catch (error) {
    throw missing(language, error);
  }
  return parser;
}

async function startRuntime(folder: string): Promise<TreeSitter> {
  const treeSitter = createRequire(__filename)(path.join(folder, 'tree-sitter.js')) as TreeSitter;
  await treeSitter.Parser.init({ locateFile: () => path.join(folder, 'tree-sitter.wasm') });
  return treeSitter;
}

/** Beside the bundle when packaged, in node_modules while developing. */
function grammarFolder(): string {
  const beside = path.join(__dirname, 'tree-sitter');
  if (existsSync(path.join(beside, 'tree-sitter.js'))) return beside;
  try {
    return path.dirname(createRequire(__filename).resolve('@vscode/tree-sitter-wasm'));
  } catch (error) {
    throw missing('tree-sitter', error);
  }
}

function missing(place: string, cause: unknown): ParticlizeError {
  return new ParticlizeError(
    { place, cause: 'the grammar that finds layers in code cannot be loaded', action: 'Install Particlize again' },
    { cause },
  );
}

type Building = { -readonly [K in keyof SyntaxNode]: SyntaxNode[K] } & { children: Building[] };

/**
 * Copies the tree out of WebAssembly in one walk: afterwards nothing calls into it.
 * @param kept copies of the first statements, which stand as they did
 */
function plainTree(tree: TreeSitterModule.Tree, text: string, kept: readonly SyntaxNode[] = []): SyntaxTree {
  const cursor = tree.walk();
  const known = new Map(kept.map((node) => [node.start, node]));
  const root: Building = { type: cursor.nodeType, start: 0, end: text.length, missing: false, children: [] };
  const path: Building[] = [root];
  try {
    let descending = cursor.gotoFirstChild();
    while (path.length > 0 && descending) {
      const field = cursor.currentFieldName ?? undefined;
      const named = cursor.nodeIsNamed;
      const node: Building = {
        type: cursor.nodeType,
        start: cursor.startIndex,
        end: cursor.endIndex,
        ...(field ? { field } : {}),
        missing: cursor.nodeIsMissing,
        children: [],
      };
      const before = path.length === 1 ? known.get(node.start) : undefined;
      const same = before?.type === node.type && before.end === node.end && before.field === node.field && before.missing === node.missing;
      if (named || field) path[path.length - 1]!.children.push(same ? before as Building : node);
      if (named && !same && cursor.gotoFirstChild()) {
        path.push(node);
        continue;
      }
      while (!cursor.gotoNextSibling()) {
        path.pop();
        if (path.length === 0 || !cursor.gotoParent()) {
          descending = false;
          break;
        }
      }
    }
  } finally {
    cursor.delete();
  }
  return { root, text };
}
