import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { loadParse } from '../compute/parsers';
import type { LayerSummary } from '../compute/protocol';
import { ParticlizeError } from '../core/graph/errors';
import type { ShapeChange } from '../core/optimise/plan';
import type { SourceEdit } from '../core/source/definition';
import { applyEdits, editSource } from '../core/source/editSource';
import { findDefinitions } from '../core/source/findDefinitions';
import { linkDefinitions } from '../core/source/linkDefinitions';
import { languageOfFile, type Language, type Parse } from '../core/source/syntaxTree';
import { weightsEdit } from '../core/source/weightsEdit';

export interface EditedSource {
  readonly file: string;
  readonly text: string;
  readonly language: Language;
  readonly parse: Parse;
  readonly edits: readonly SourceEdit[];
  readonly manual: readonly { readonly line: number; readonly reason: string }[];
}

/** The definition of the model in code with the sizes of the smaller one. Nothing is written. */
export async function editedSource(file: string, layers: readonly LayerSummary[], changes: readonly ShapeChange[]): Promise<EditedSource> {
  const name = path.basename(file);
  const language = languageOfFile(name);
  if (!language) throw new ParticlizeError({ file: name, cause: 'this is not Python, JavaScript or TypeScript' });
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new ParticlizeError({ file: name, cause: error.code === 'ENOENT' ? 'the file does not exist' : `the file cannot be read (${error.code})` });
  });
  const parse = await loadParse([language]);
  const definitions = findDefinitions(text, language, parse);
  const links = linkDefinitions(definitions, layers.map(({ name: layer, type, particles }) => ({ name: layer, type, width: particles?.count })));
  if (links.length === 0) throw new ParticlizeError({ file: name, cause: 'no layer of the model is defined here', action: 'Name the file that defines it' });
  const { edits, manual } = editSource(text, language, parse, links, changes);
  return { file, text, language, parse, edits, manual: manual.map(({ span, reason }) => ({ line: text.slice(0, span.start).split('\n').length, reason })) };
}

/** Writes the edited copy, which also loads the new weights where the old ones were named; returns its path. Never over a file. */
export async function writeSource(
  { file, text, language, parse, edits }: EditedSource, folder: string, model: { readonly before: string; readonly after: string },
): Promise<string> {
  const weights = weightsEdit(text, language, parse, path.basename(model.before), path.basename(model.after));
  const target = path.join(folder, path.basename(file));
  try {
    await writeFile(target, applyEdits(text, [...edits, ...weights.edits]), { flag: 'wx' });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ParticlizeError({
      file: target, cause: code === 'EEXIST' ? 'the file exists already and is not written over' : `the file cannot be written (${code})`,
      action: 'Name another folder with --out',
    }, { cause: error });
  }
  return target;
}
