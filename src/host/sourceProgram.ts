import * as vscode from 'vscode';
import { joinCells } from '../core/source/cells';
import type { Span } from '../core/source/definition';

/** What is read as one source text: a file, or the code cells of a notebook one after another. */
export interface SourceProgram {
  /** The file or the notebook. */
  readonly uri: vscode.Uri;
  readonly languageId: string;
  /** Changes with the text; equal for equal texts of the same documents. */
  readonly version: string;
  readonly parts: readonly SourcePart[];
}

export interface SourcePart {
  readonly document: vscode.TextDocument;
  /** Where its text begins in the text of the whole. */
  readonly start: number;
  readonly length: number;
}

export const notebookCellScheme = 'vscode-notebook-cell';

/** The program that a document is (part of). */
export function programOf(document: vscode.TextDocument): SourceProgram {
  const notebook = document.uri.scheme === notebookCellScheme ? notebookOf(document) : undefined;
  if (!notebook) {
    return {
      uri: document.uri, languageId: document.languageId, version: String(document.version),
      parts: [{ document, start: 0, length: lengthOf(document) }],
    };
  }
  return programOfNotebook(notebook);
}

/** The code cells in the language of the first one. */
export function programOfNotebook(notebook: vscode.NotebookDocument): SourceProgram {
  const cells = notebook.getCells().filter(({ kind }) => kind === vscode.NotebookCellKind.Code).map((cell) => cell.document);
  const language = cells[0]?.languageId ?? 'python';
  const parts: SourcePart[] = [];
  let start = 0;
  for (const document of cells.filter((cell) => cell.languageId === language)) {
    const length = lengthOf(document);
    parts.push({ document, start, length });
    start += length + 1;
  }
  return {
    uri: notebook.uri, languageId: language, parts,
    version: parts.map(({ document }) => `${document.uri.fragment}:${document.version}`).join(),
  };
}

/** The text of a program; a notebook's line and cell magics become comments of the same length. */
export function textOf({ uri, parts }: SourceProgram): string {
  const [only] = parts;
  if (only && only.document.uri.toString() === uri.toString()) return only.document.getText();
  return joinCells(parts.map(({ document }) => document.getText())).text;
}

/** The document and range of a span; undefined when the program has changed so that it lies in none. */
export function placeOf({ parts }: SourceProgram, { start, end }: Span): vscode.Location | undefined {
  const part = parts.find((one) => start >= one.start && end <= one.start + one.length);
  if (!part) return undefined;
  const { document } = part;
  return new vscode.Location(document.uri, new vscode.Range(document.positionAt(start - part.start), document.positionAt(end - part.start)));
}

function notebookOf(document: vscode.TextDocument): vscode.NotebookDocument | undefined {
  return vscode.workspace.notebookDocuments.find((notebook) => notebook.getCells().some((cell) => cell.document === document));
}

/** Without building the text. */
function lengthOf(document: vscode.TextDocument): number {
  return document.offsetAt(document.lineAt(document.lineCount - 1).range.end);
}
