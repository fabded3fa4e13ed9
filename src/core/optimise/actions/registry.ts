import type { PlanStep } from '../plan';
import type { Action } from './action';
import { factorise } from './factorise';
import { fold } from './fold';
import { grow } from './grow';
import { maskConnections } from './maskConnections';
import { merge } from './merge';
import { reconstruct } from './reconstruct';
import { remove } from './remove';
import { removeBlock } from './removeBlock';
import { removeHead } from './removeHead';
import { reweight } from './reweight';

/** Every kind of step that a plan may have; a new one is one file and one line here. */
export const actions = [
  remove, removeHead, removeBlock, merge, fold, reweight, reconstruct, maskConnections, factorise, grow,
] as readonly Action[];

export function actionOf(name: unknown): Action<PlanStep> | undefined {
  return actions.find((action) => action.name === name);
}
