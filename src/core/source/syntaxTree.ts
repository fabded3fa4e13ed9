import type { Span } from './definition';

/** Languages in which models are defined; the names of their grammars. */
export type Language = 'python' | 'javascript' | 'typescript' | 'tsx';

/**
 * A node of a concrete syntax tree: tree-sitter's, as plain data. Named nodes are kept, and of the others
 * (punctuation, keywords) those that fill a field, such as a binary expression's operator.
 */
export interface SyntaxNode extends Span {
  readonly type: string;
  /** The role that it plays in its parent: 'left', 'arguments', ... */
  readonly field?: string;
  /** Inserted by the parser to recover from an error: it has no text. */
  readonly missing: boolean;
  readonly children: readonly SyntaxNode[];
}

export interface SyntaxTree {
  readonly root: SyntaxNode;
  readonly text: string;
}

/** The port to a parser. Never throws on wrong code: what it cannot read is an 'ERROR' node with what it could inside. */
export type Parse = (text: string, language: Language) => SyntaxTree;

/** The grammar for a file, by its extension; undefined when it is in no language that defines models. */
export function languageOfFile(fileName: string): Language | undefined {
  const extension = fileName.slice(fileName.lastIndexOf('.') + 1).toLowerCase();
  return languages[extension];
}

/** The grammar for VS Code's language id. */
export function languageOfId(id: string): Language | undefined {
  return languageIds[id];
}

export function child(node: SyntaxNode, field: string): SyntaxNode | undefined {
  return node.children.find((one) => one.field === field);
}

const languages: Readonly<Record<string, Language | undefined>> = {
  py: 'python', pyi: 'python', pyw: 'python',
  js: 'javascript', mjs: 'javascript', cjs: 'javascript', jsx: 'javascript',
  ts: 'typescript', mts: 'typescript', cts: 'typescript',
  tsx: 'tsx',
};

const languageIds: Readonly<Record<string, Language | undefined>> = {
  python: 'python',
  javascript: 'javascript',
  javascriptreact: 'javascript',
  typescript: 'typescript',
  typescriptreact: 'tsx',
};
