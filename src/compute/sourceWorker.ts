import { parentPort } from 'node:worker_threads';
import { ParticlizeError, type ErrorParts } from '../core/graph/errors';
import type { ShapeChange } from '../core/optimise/plan';
import type { LayerDefinition, Link, ManualEdit, SourceEdit } from '../core/source/definition';
import { editSource } from '../core/source/editSource';
import { analyseSource } from '../core/source/findDefinitions';
import { languageOfId } from '../core/source/syntaxTree';
import { weightsEdit } from '../core/source/weightsEdit';
import { loadParse } from './parsers';

/** What a thread is asked about a source text. */
export type SourceQuestion =
  | { readonly kind: 'find'; readonly text: string; readonly languageId: string }
  | {
      readonly kind: 'edit'; readonly text: string; readonly languageId: string; readonly links: readonly Link[];
      readonly changes: readonly ShapeChange[]; readonly weights: { readonly before: string; readonly after: string };
    };

export interface FoundDefinitions {
  /** In the order of the text. */
  readonly definitions: readonly LayerDefinition[];
  /** Places that the parser could not read: somebody is typing. */
  readonly errors: number;
}

export interface FoundEdits {
  readonly edits: readonly SourceEdit[];
  readonly manual: readonly ManualEdit[];
}

export type SourceReply = { readonly id: number } & (
  | { readonly kind: 'find'; readonly found: FoundDefinitions }
  | { readonly kind: 'edit'; readonly found: FoundEdits }
  | { readonly kind: 'error'; readonly message: string; readonly parts?: ErrorParts }
);

/** Answers one question; a language without a grammar has no layers. */
export async function answerSource(question: SourceQuestion): Promise<FoundDefinitions | FoundEdits> {
  const { kind, text, languageId } = question;
  const language = languageOfId(languageId);
  if (!language) return kind === 'find' ? { definitions: [], errors: 0 } : { edits: [], manual: [] };
  const parse = await loadParse([language]);
  if (kind === 'find') {
    const { layers, errors } = analyseSource(text, language, parse);
    return { definitions: layers.map(({ definition }) => definition), errors };
  }
  const sizes = editSource(text, language, parse, question.links, question.changes);
  const weights = weightsEdit(text, language, parse, question.weights.before, question.weights.after);
  return { edits: [...sizes.edits, ...weights.edits], manual: [...sizes.manual, ...weights.manual] };
}

parentPort?.on('message', ({ id, question }: { id: number; question: SourceQuestion }) => {
  answerSource(question).then(
    (found) => parentPort!.postMessage({ id, kind: question.kind, found }),
    (error: unknown) => parentPort!.postMessage({
      id, kind: 'error', message: error instanceof Error ? error.message : String(error),
      ...(error instanceof ParticlizeError ? { parts: error.parts } : {}),
    }),
  );
});
