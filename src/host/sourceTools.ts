import type { LayerSummary } from '../compute/protocol';
import { SourceThread } from '../compute/sourceThread';
import type { FoundDefinitions, FoundEdits } from '../compute/sourceWorker';
import type { ShapeChange } from '../core/optimise/plan';
import type { LayerDefinition, Link, LinkCorrection } from '../core/source/definition';
import { linkDefinitions } from '../core/source/linkDefinitions';

/** How the weights' file is called from the source's folder on, before and after. */
export interface WeightsNames {
  readonly before: string;
  readonly after: string;
}

/** What the host needs of core/source; sourceLinks.ts and the features see only this. */
export class SourceTools {
  private readonly thread = new SourceThread();

  /** Layer definitions in a text; none for a language that has no grammar. Rejects when the grammars are missing. */
  findDefinitions(text: string, languageId: string): Promise<FoundDefinitions> {
    return this.thread.ask({ kind: 'find', text, languageId });
  }

  linkDefinitions(
    definitions: readonly LayerDefinition[], layers: readonly LayerSummary[], corrections: readonly LinkCorrection[],
  ): readonly Link[] {
    return linkDefinitions(definitions, layers.map(({ name, type, particles }) => ({ name, type, width: particles?.count })), corrections);
  }

  /** Edits that make the definitions fit changed weights, and load them. */
  editsFor(
    text: string, languageId: string, links: readonly Link[], changes: readonly ShapeChange[], weights: WeightsNames,
  ): Promise<FoundEdits> {
    return this.thread.ask({ kind: 'edit', text, languageId, links, changes, weights });
  }

  dispose(): void {
    this.thread.stop();
  }
}
