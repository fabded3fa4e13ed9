import type { LayerSummary } from '../compute/protocol';
import { loadParse } from '../compute/parsers';
import type { ShapeChange } from '../core/optimise/plan';
import type { LayerDefinition, Link, ManualEdit, SourceEdit } from '../core/source/definition';
import { editSource } from '../core/source/editSource';
import { findDefinitions } from '../core/source/findDefinitions';
import { linkDefinitions } from '../core/source/linkDefinitions';
import { languageOfId } from '../core/source/syntaxTree';
import { weightsEdit } from '../core/source/weightsEdit';

/** How the weights' file is called from the source's folder on, before and after. */
export interface WeightsNames {
  readonly before: string;
  readonly after: string;
}

/** What the host needs of core/source; sourceLinks.ts and the features see only this. */
export interface SourceTools {
  /** Layer definitions in a text; none for a language that has no grammar. Rejects when the grammars are missing. */
  findDefinitions(text: string, languageId: string): Promise<readonly LayerDefinition[]>;
  linkDefinitions(definitions: readonly LayerDefinition[], layers: readonly LayerSummary[]): readonly Link[];
  /** Edits that make the definitions fit changed weights, and load them. */
  editsFor(text: string, languageId: string, links: readonly Link[], changes: readonly ShapeChange[], names: WeightsNames):
    Promise<{ readonly edits: readonly SourceEdit[]; readonly manual: readonly ManualEdit[] }>;
}

export const sourceTools: SourceTools = {
  findDefinitions: async (text, languageId) => {
    const language = languageOfId(languageId);
    return language ? findDefinitions(text, language, await loadParse([language])) : [];
  },
  linkDefinitions: (definitions, layers) =>
    linkDefinitions(definitions, layers.map(({ name, type, particles }) => ({ name, type, width: particles?.count }))),
  editsFor: async (text, languageId, links, changes, names) => {
    const language = languageOfId(languageId);
    if (!language) return { edits: [], manual: [] };
    const parse = await loadParse([language]);
    const sizes = editSource(text, language, parse, links, changes);
    const weights = weightsEdit(text, language, parse, names.before, names.after);
    return { edits: [...sizes.edits, ...weights.edits], manual: [...sizes.manual, ...weights.manual] };
  },
};
