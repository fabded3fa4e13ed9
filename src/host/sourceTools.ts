import type { LayerSummary } from '../compute/protocol';
import { loadParse } from '../compute/parsers';
import type { ShapeChange } from '../core/optimise/plan';
import type { LayerDefinition, Link, ManualEdit, SourceEdit } from '../core/source/definition';
import { findDefinitions } from '../core/source/findDefinitions';
import { linkDefinitions } from '../core/source/linkDefinitions';
import { languageOfId } from '../core/source/syntaxTree';

/** What the host needs of core/source; sourceLinks.ts and the features see only this. */
export interface SourceTools {
  /** Layer definitions in a text; none for a language that has no grammar. Rejects when the grammars are missing. */
  findDefinitions(text: string, languageId: string): Promise<readonly LayerDefinition[]>;
  linkDefinitions(definitions: readonly LayerDefinition[], layers: readonly LayerSummary[]): readonly Link[];
  /** Edits that make the definitions fit changed weights. */
  editsFor(text: string, languageId: string, links: readonly Link[], changes: readonly ShapeChange[]):
    Promise<{ readonly edits: readonly SourceEdit[]; readonly manual: readonly ManualEdit[] }>;
}

export const sourceTools: SourceTools = {
  findDefinitions: async (text, languageId) => {
    const language = languageOfId(languageId);
    return language ? findDefinitions(text, language, await loadParse([language])) : [];
  },
  linkDefinitions: (definitions, layers) =>
    linkDefinitions(definitions, layers.map(({ name, type, particles }) => ({ name, type, width: particles?.count }))),
  editsFor: async () => ({ edits: [], manual: [] }),
};
