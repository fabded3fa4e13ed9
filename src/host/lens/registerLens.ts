import * as vscode from 'vscode';
import { commands } from '../contributions';
import { formatCount, formatShare } from '../format';
import type { Model } from '../model';
import type { LayerSummary } from '../../compute/protocol';
import type { Services } from '../services';
import { setting } from '../settings';
import { debounce, sourceLanguages } from '../sourceLinks';

/** A line above each layer definition whose layer belongs to an open model. */
export function registerLens({ links, models }: Services): vscode.Disposable {
  const emitter = new vscode.EventEmitter<void>();
  const refresh = debounce(() => emitter.fire(), 300);

  const provider: vscode.CodeLensProvider = {
    onDidChangeCodeLenses: emitter.event,
    provideCodeLenses: async (document, token) => {
      if (models.all.length === 0 || !setting('lens.enabled', document.uri)) return [];
      // VS Code asks at every key; a pause comes first, and a newer question ends an older one.
      await new Promise((resolve) => setTimeout(resolve, 100));
      if (token.isCancellationRequested) return [];
      const found = await links.modelOf(document);
      if (!found) return [];
      return found.links.flatMap(({ definition, layer: name }) => {
        const layer = found.model.layer(name);
        // A pooling or reshaping layer has nothing to say.
        if (!layer?.particles) return [];
        const { start, end } = definition.anchor;
        const range = new vscode.Range(document.positionAt(start), document.positionAt(end));
        return [new vscode.CodeLens(range, {
          title: lensText(found.model, layer),
          tooltip: vscode.l10n.t('{0} in {1}: show its particles', name, found.model.title),
          command: commands.revealParticle,
          arguments: [{ model: found.model, layer }],
        })];
      });
    },
  };

  return vscode.Disposable.from(
    emitter,
    refresh,
    models.onDidChange(({ change }) => {
      if (change !== 'selection' && change !== 'running') refresh.call();
    }),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration('particlize.lens')) emitter.fire();
    }),
    vscode.languages.registerCodeLensProvider(sourceLanguages.map((language) => ({ language })), provider),
  );
}

/** '16 kernels · 3 dead · 5 harmless · 12 % of MACs': what is known of a layer, in one line. */
export function lensText(model: Model, layer: LayerSummary): string {
  const { particles } = layer;
  const parts = [particles ? formatCount(particles.count, particles.kind) : layer.type];
  const count = (column: string, holds: (value: number) => boolean): number | undefined => {
    const values = particles && model.column(column)?.values.subarray(particles.firstRow, particles.firstRow + particles.count);
    return values && values.some((value) => !Number.isNaN(value)) ? values.filter(holds).length : undefined;
  };
  // Dead: never answered a sample. Harmless: the loss does not rise when it alone is ablated.
  const dead = count('deadShare', (value) => value >= 1);
  const harmless = count('ablationLossChange', (value) => value <= 0);
  if (dead) parts.push(vscode.l10n.t('{0} dead', dead));
  if (harmless !== undefined) parts.push(vscode.l10n.t('{0} harmless', harmless));
  if (layer.macs) parts.push(vscode.l10n.t('{0} of MACs', formatShare(layer.macs, model.summary.macs)));
  return parts.join(' · ');
}
