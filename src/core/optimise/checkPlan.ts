import { ParticlizeError } from '../graph/errors';
import { FieldError, Fields } from './actions/action';
import { actionOf, actions } from './actions/registry';
import type { Plan, PlanStep } from './plan';

/** A plan out of JSON that somebody may have written by hand. Throws a ParticlizeError that names the place. */
export function checkedPlan(value: unknown, file: string): Plan {
  const fail = (place: string, cause: string): never => {
    throw new ParticlizeError({ file, place, cause });
  };
  const { version, model, steps, predicted } = (value ?? {}) as Partial<Plan>;
  if (version !== 1) fail('version', 'this is not a plan of version 1');
  if (typeof model?.file !== 'string' || typeof model.sha256 !== 'string') fail('model', 'it should name the file and SHA-256 of its model');
  if (!Array.isArray(steps)) fail('steps', 'it should be a list');
  const checked = (steps as unknown[]).map((step, index): PlanStep => {
    const json = (typeof step === 'object' && step !== null ? step : {}) as Record<string, unknown>;
    const action = actionOf(json['action']);
    if (!action) return fail(`steps[${index}].action`, `it should be one of ${actions.map(({ name }) => `'${name}'`).join(', ')}`);
    try {
      return action.check(new Fields(json));
    } catch (error) {
      if (error instanceof FieldError) return fail(`steps[${index}].${error.field}`, error.message);
      throw error;
    }
  });
  return { version: 1, model: model!, steps: checked, ...(predicted && { predicted }) };
}
