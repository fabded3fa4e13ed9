import * as vscode from 'vscode';
import type { Link } from '../../core/source/definition';
import { formatCount, formatShare } from '../format';
import type { LayerNumbers } from '../layerNumbers';

/** Which parts of a lens are shown; see the settings `particlize.lens.*`. */
export interface LensParts {
  readonly particles: boolean;
  readonly dead: boolean;
  readonly redundant: boolean;
  readonly harmless: boolean;
  readonly macs: boolean;
}

/** Below this a lens asks the user to look: links by name alone are above, links by order below. */
export const sureConfidence = 0.75;

/** '16 kernels · 3 dead · 5 harmless · 12 % of MACs': what is known of a layer, in one line; '' when all of it is hidden. */
export function lensText(numbers: LayerNumbers, parts: LensParts, layers = 1): string {
  const { kind, count, dead, redundant, harmless, macs } = numbers;
  return [
    parts.particles && (layers > 1 ? vscode.l10n.t('{0} layers: {1}', layers, formatCount(count, kind)) : formatCount(count, kind)),
    parts.dead && dead ? vscode.l10n.t('{0} dead', dead) : '',
    parts.redundant && redundant ? vscode.l10n.t('{0} redundant', redundant) : '',
    parts.harmless && harmless !== undefined ? vscode.l10n.t('{0} harmless', harmless) : '',
    parts.macs && macs !== undefined ? vscode.l10n.t('{0} of MACs', formatShare(macs, 1)) : '',
  ].filter(Boolean).join(' · ');
}

/** 'linked by order, 60 %: check'; undefined for a link that is sure enough. */
export function doubtText(links: readonly Link[]): string | undefined {
  const least = links.reduce<Link | undefined>((worst, link) => (worst && worst.confidence <= link.confidence ? worst : link), undefined);
  // Code that makes several layers, all of them found by name, is not doubtful for being short.
  if (!least || least.confidence >= (links.length > 1 ? 0.65 : sureConfidence)) return undefined;
  return vscode.l10n.t('$(question) {0}, {1} %: check', reasonText(least), Math.round(100 * least.confidence));
}

function reasonText({ reason, layer }: Link): string {
  if (/order/.test(reason) && !/although|other order/.test(reason)) return vscode.l10n.t('linked to {0} by order', layer);
  return vscode.l10n.t('linked to {0}: {1}', layer, reason);
}
