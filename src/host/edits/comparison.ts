import path from 'node:path';
import * as vscode from 'vscode';
import type { Evaluation } from '../../core/evaluate/evaluation';
import { formatFewerMacs } from '../format';
import { sentenceOf } from '../messages';
import type { Model } from '../model';
import type { Services } from '../services';
import { sampleLimit } from '../settings';
import type { Applied } from './applyPlan';

/** Evaluates the new model and puts both into one sentence: 'accuracy 0.981 → 0.978, 4.1× fewer MACs'. */
export async function compare(services: Services, before: Model, applied: Applied): Promise<string> {
  const { preview } = applied;
  const name = path.basename(applied.model.fsPath);
  const fewer = formatFewerMacs(preview.before.macs, preview.after.macs);
  const { recipe } = before;
  if (recipe === undefined) return vscode.l10n.t('{0}: {1}.', name, fewer);
  services.models.rememberRecipe(applied.model.fsPath, recipe);
  try {
    const [was, is] = await services.jobs.runOrThrow(before, vscode.l10n.t('Evaluating'), async (options) => {
      const samples = sampleLimit(before.uri);
      // The same samples on both sides, or the difference says nothing.
      const known = before.evaluation ?? (await services.compute.call('evaluate', { model: before.id, recipe, samples }, options));
      const { model } = await services.compute.call('open', { path: applied.model.fsPath }, options);
      const made = await services.compute.call('evaluate', { model, recipe, samples: known.samples }, options);
      return [known, made] as const;
    });
    return vscode.l10n.t('{0}: {1} {2} → {3}, {4}.', name, was.decisive.name, decisive(was), decisive(is), fewer);
  } catch (error) {
    // The new model is there all the same: that it could not be evaluated is only part of the news.
    const reason = sentenceOf(error, services.log);
    return vscode.l10n.t('{0}: {1}; not evaluated. {2}', name, fewer, reason ?? '').trim();
  }
}

function decisive({ metrics, decisive: { name } }: Evaluation): string {
  const value = metrics[name];
  return value === undefined ? '–' : value.toFixed(3);
}
