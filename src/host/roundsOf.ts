import path from 'node:path';
import * as vscode from 'vscode';
import type { CallOptions, ComputeClient } from '../compute/client';
import type { ModelId } from '../compute/protocol';
import type { Model } from './model';

/** Where the rounds of a model are, and which of them it is itself. */
export interface RoundsPlace {
  /** The model that the rounds were made of. */
  readonly original: string;
  readonly folder: string;
  /** When the model lies in the folder of a round. */
  readonly round?: number;
}

/** A model in `.particlize/model.onnx/round-02` belongs to the rounds of the model.onnx beside `.particlize`. */
export function roundsPlace(model: Model): RoundsPlace {
  const file = model.uri.fsPath;
  const inside = path.dirname(file);
  const rounds = path.dirname(inside);
  const home = path.dirname(rounds);
  const round = /^round-(\d{2,4})$/.exec(path.basename(inside));
  if (round && path.basename(home) === '.particlize') {
    return { original: path.join(path.dirname(home), path.basename(rounds)), folder: rounds, round: Number(round[1]) };
  }
  return { original: file, folder: path.join(inside, '.particlize', path.basename(file)) };
}

/** The original's id in the compute process, which opens it when it is not open. */
export async function originalId(compute: ComputeClient, model: Model): Promise<ModelId> {
  const { original } = roundsPlace(model);
  return original === model.uri.fsPath ? model.id : (await compute.call('open', { path: original })).model;
}

/** Reads again what rounds there are. */
export async function refreshRounds(compute: ComputeClient, model: Model, maxDrop: number): Promise<void> {
  const { folder } = roundsPlace(model);
  const there = await vscode.workspace.fs.stat(vscode.Uri.file(folder)).then(() => true, () => false);
  if (!there) {
    if (model.rounds) model.rounds = undefined;
    return;
  }
  model.rounds = await compute.call('rounds', { model: await originalId(compute, model), folder, maxDrop });
}

/** Runs work that trains: its curves go to the model, and it can be paused while it runs. */
export async function whileTraining<T>(model: Model, id: ModelId, options: CallOptions, work: (options: CallOptions) => Promise<T>): Promise<T> {
  model.training = { id, paused: false };
  try {
    return await work({ ...options, training: (update) => model.addTraining(update) });
  } finally {
    model.training = undefined;
  }
}
