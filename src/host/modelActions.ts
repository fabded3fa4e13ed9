import path from 'node:path';
import * as vscode from 'vscode';
import type { ComputeClient } from '../compute/client';
import type { Evaluation } from '../core/evaluate/evaluation';
import { ParticlizeError } from '../core/graph/errors';
import type { SuggestResult } from '../compute/protocol';
import { syntheticRecipe } from '../compute/syntheticRecipe';
import type { Jobs } from './jobs';
import { makeRecipe } from './makeRecipe';
import { showError } from './messages';
import type { Model } from './model';
import type { ModelStore } from './modelStore';
import { sampleLimit, setting } from './settings';

/** What can be done with an open model, whichever face asks: tree, panel, palette or status bar. Errors are shown here. */
export class ModelActions {
  constructor(
    private readonly compute: ComputeClient,
    private readonly models: ModelStore,
    private readonly jobs: Jobs,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  async runBehaviour(model: Model, columns?: readonly string[]): Promise<boolean> {
    const recipe = await this.recipeFor(model);
    if (recipe === undefined) return false;
    const result = await this.jobs.run(model, vscode.l10n.t('Running on data'), (options) =>
      this.compute.call('behaviour', { model: model.id, recipe, columns, samples: sampleLimit(model.uri) }, options));
    if (result) model.addColumns(result);
    return result !== undefined;
  }

  async suggest(model: Model, maxDrop = setting('suggestions.maxDrop', model.uri)): Promise<SuggestResult | undefined> {
    const recipe = await this.recipeFor(model);
    if (recipe === undefined) return undefined;
    const result = await this.jobs.run(model, vscode.l10n.t('Looking for suggestions'), (options) =>
      this.compute.call('suggest', { model: model.id, recipe, maxDrop, samples: sampleLimit(model.uri) }, options));
    if (!result) return undefined;
    model.suggestions = result;
    model.evaluation = result.baseline;
    await this.refreshColumns(model);
    return result;
  }

  async evaluate(model: Model): Promise<Evaluation | undefined> {
    const recipe = await this.recipeFor(model);
    if (recipe === undefined) return undefined;
    const evaluation = await this.jobs.run(model, vscode.l10n.t('Evaluating'), (options) =>
      this.compute.call('evaluate', { model: model.id, recipe, samples: sampleLimit(model.uri) }, options));
    if (evaluation) model.evaluation = evaluation;
    return evaluation;
  }

  /** The recipe of this model: the one chosen before, the only one that fits, or the user's choice. */
  async recipeFor(model: Model): Promise<string | undefined> {
    if (!vscode.workspace.isTrusted) {
      showError(new ParticlizeError({
        file: model.title,
        cause: vscode.l10n.t('models are not run in a folder that is not trusted'),
        action: vscode.l10n.t('Trust the folder first'),
      }), this.log);
      return undefined;
    }
    if (model.recipe !== undefined && (model.recipe === syntheticRecipe || (await exists(model.recipe)))) return model.recipe;
    return this.chooseRecipe(model, true);
  }

  /** Lets the user choose among the recipes beside the model; `only` takes the only fitting one without asking. */
  async chooseRecipe(model: Model, only = false): Promise<string | undefined> {
    const matches = await this.compute.call('recipes', { model: model.id }).catch((error: unknown) => {
      showError(error, this.log);
      return undefined;
    });
    if (!matches) return undefined;
    const fitting = matches.filter(({ fits }) => fits);
    if (only && fitting.length === 1) {
      this.models.setRecipe(model, fitting[0]!.path);
      return fitting[0]!.path;
    }
    const items: RecipeItem[] = matches.map((match) => ({
      label: `$(${match.fits ? 'database' : 'circle-slash'}) ${path.basename(match.path)}`,
      description: vscode.workspace.asRelativePath(path.dirname(match.path)),
      detail: match.reason,
      choose: () => match.path,
    }));
    items.push(
      { label: `$(folder-opened) ${vscode.l10n.t('Choose a file…')}`, choose: () => browseRecipe(model) },
      {
        label: `$(wand) ${vscode.l10n.t('Make a recipe from data files…')}`,
        detail: vscode.l10n.t('Looks at the model and the data, and shows what it guessed before it writes anything'),
        choose: () => makeRecipe(this.compute, model, this.log),
      },
      {
        label: `$(symbol-numeric) ${vscode.l10n.t('Probe with made-up samples')}`,
        detail: vscode.l10n.t('Without data: tells how the model is built, not what it does on real data'),
        choose: () => syntheticRecipe,
      },
    );
    const picked = await vscode.window.showQuickPick(items, {
      title: vscode.l10n.t('Data recipe for {0}', model.title),
      placeHolder: matches.length === 0
        ? vscode.l10n.t('No *.particlize.json beside the model: choose one, or make one')
        : vscode.l10n.t('A recipe says where the data is and how it becomes the input'),
    });
    const chosen = await picked?.choose();
    if (chosen !== undefined) this.models.setRecipe(model, chosen);
    return chosen;
  }

  /** Suggesting measures columns on the way; what the process has is shown. */
  private async refreshColumns(model: Model): Promise<void> {
    try {
      model.addColumns(await this.compute.call('columns', { model: model.id }));
    } catch (error) {
      this.log.warn(error instanceof Error ? error.message : String(error));
    }
  }
}

interface RecipeItem extends vscode.QuickPickItem {
  choose(): string | undefined | Promise<string | undefined>;
}

async function browseRecipe(model: Model): Promise<string | undefined> {
  const [file] = (await vscode.window.showOpenDialog({
    title: vscode.l10n.t('Data recipe for {0}', model.title),
    defaultUri: vscode.Uri.file(path.dirname(model.uri.fsPath)),
    filters: { 'Particlize recipe': ['json'] },
  })) ?? [];
  return file?.fsPath;
}

async function exists(file: string): Promise<boolean> {
  return vscode.workspace.fs.stat(vscode.Uri.file(file)).then(() => true, () => false);
}
