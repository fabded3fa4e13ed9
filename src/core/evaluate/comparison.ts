import type { Dataset } from '../data/dataset';
import type { Engine } from '../graph/engine';
import { throwIfCancelled, type Task } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import { asFloat32 } from '../graph/numeric';
import { batchModel, batchSize, bytesPerSample, openRunner } from './batching';
import { outputWidth } from './evaluate';
import { objectiveFor, targetsOf } from './metrics';

/** What a model did on every sample. */
export interface Judgements {
  /** One a sample; NaN where a sample alone has none. */
  readonly losses: Float64Array;
  /** The deciding metric of each sample alone: 1 or 0 for accuracy and HR@k. */
  readonly scores: Float64Array;
  /** Of classification: the right class and the one chosen. */
  readonly labels?: Int32Array;
  readonly predictions?: Int32Array;
  readonly decisive: { readonly name: string; readonly higherIsBetter: boolean };
}

/** Samples by right class (row) and chosen class (column): [classes * classes]. */
export interface Confusion {
  readonly classes: readonly string[];
  readonly counts: readonly number[];
}

export interface ClassScore {
  readonly name: string;
  readonly samples: number;
  /** Share of the class's samples that are recognised. */
  readonly recall: number;
  /** Share of what is taken for this class that is of it; missing when nothing was. */
  readonly precision?: number;
}

/** What a changed model costs, sample by sample, against the one it came from. */
export interface Comparison {
  readonly samples: number;
  /** Samples that only the model before got right, and those that only the changed one did. */
  readonly lost: number;
  readonly won: number;
  /** Classes by how much of their recall is lost, the largest loss first. */
  readonly classes?: readonly { readonly name: string; readonly samples: number; readonly before: number; readonly after: number }[];
  /** Samples whose loss rose most. */
  readonly paid: readonly { readonly sample: number; readonly title: string; readonly before: number; readonly after: number }[];
}

/** Runs the model and judges each sample by itself. */
export async function judge(graph: ModelGraph, engine: Engine, data: Dataset, { memoryBytes, task }: { readonly memoryBytes: number; readonly task?: Task }): Promise<Judgements> {
  const objective = objectiveFor(graph, data);
  const model = await batchModel(graph);
  const runner = await openRunner(engine, model, model.graph.inputs.map(({ name }) => name), [objective.output]);
  const [losses, scores] = [new Float64Array(data.count), new Float64Array(data.count)];
  const isClasses = data.task === 'classification';
  const [labels, predictions] = [new Int32Array(isClasses ? data.count : 0), new Int32Array(isClasses ? data.count : 0)];
  try {
    const batch = batchSize(memoryBytes, bytesPerSample(model.graph) * (data.rowsPerSample ?? 1));
    for (let from = 0; from < data.count; from += batch) {
      throwIfCancelled(task);
      task?.progress?.(from, data.count, 'Judging each sample');
      const to = Math.min(data.count, from + batch);
      const found = (await runner.run(await data.inputs(from, to))).get(objective.output)!;
      const outputs = asFloat32(found);
      const width = outputWidth(found, to - from);
      const targets = await targetsOf(data, from, to);
      for (let row = 0; row < to - from; row++) {
        const sums = new Float64Array(objective.sums);
        const part = <T extends Int32Array | Float32Array>(array: T | undefined): T | undefined =>
          array?.subarray((row * array.length) / (to - from), ((row + 1) * array.length) / (to - from)) as T | undefined;
        objective.add(sums, outputs, width, row, row + 1, { classes: part(targets.classes), values: part(targets.values) });
        const { loss, metrics } = objective.finish(sums, 1);
        losses[from + row] = loss;
        scores[from + row] = metrics[objective.decisive.name] ?? NaN;
        if (!isClasses) continue;
        labels[from + row] = targets.classes![row]!;
        predictions[from + row] = chosenClass(outputs.subarray(row * width, (row + 1) * width));
      }
    }
  } finally {
    await runner.dispose();
  }
  return { losses, scores, decisive: objective.decisive, ...(isClasses && { labels, predictions }) };
}

/** Undefined where there are no classes, or more than a table can hold. */
export function confusionOf({ labels, predictions }: Judgements, names: readonly string[] | undefined): Confusion | undefined {
  if (!labels || !predictions || labels.length === 0) return undefined;
  let largest = 1;
  for (const array of [labels, predictions]) for (const label of array) largest = Math.max(largest, label);
  const count = Math.max(largest + 1, names?.length ?? 0);
  if (count > mostClasses) return undefined;
  const counts = new Array<number>(count * count).fill(0);
  labels.forEach((label, sample) => counts[label * count + predictions[sample]!]!++);
  return { classes: Array.from({ length: count }, (_, index) => names?.[index] ?? String(index)), counts };
}

export function classScores({ classes, counts }: Confusion): readonly ClassScore[] {
  const size = classes.length;
  return classes.map((name, own) => {
    const samples = counts.slice(own * size, (own + 1) * size).reduce((sum, count) => sum + count, 0);
    const taken = classes.reduce((sum, _, other) => sum + counts[other * size + own]!, 0);
    const right = counts[own * size + own]!;
    return { name, samples, recall: samples ? right / samples : NaN, ...(taken > 0 && { precision: right / taken }) };
  });
}

/** Both were judged on the same samples. */
export async function compare(before: Judgements, after: Judgements, data: Dataset): Promise<Comparison> {
  const better = (one: number, two: number): boolean => (before.decisive.higherIsBetter ? one > two : one < two);
  const samples = Math.min(before.losses.length, after.losses.length);
  let [lost, won] = [0, 0];
  for (let sample = 0; sample < samples; sample++) {
    if (better(before.scores[sample]!, after.scores[sample]!)) lost++;
    if (better(after.scores[sample]!, before.scores[sample]!)) won++;
  }
  const [was, is] = [before, after].map((judgements) => confusionOf(judgements, data.classes));
  const classes = was && is && classScores(was).flatMap(({ name, samples: count, recall }, index) => {
    const now = classScores(is)[index];
    return now && count > 0 ? [{ name, samples: count, before: recall, after: now.recall }] : [];
  }).sort((one, two) => one.after - one.before - (two.after - two.before));
  const rise = (sample: number): number => after.losses[sample]! - before.losses[sample]!;
  const worst = Array.from({ length: samples }, (_, sample) => sample).filter((sample) => rise(sample) > 0).sort((one, two) => rise(two) - rise(one)).slice(0, mostPaid);
  const paid: { sample: number; title: string; before: number; after: number }[] = [];
  for (const sample of worst) {
    paid.push({ sample, title: await data.caption?.(sample) ?? `sample ${sample}`, before: before.losses[sample]!, after: after.losses[sample]! });
  }
  return { samples, lost, won, classes, paid };
}

const mostClasses = 200;
const mostPaid = 10;

/** A single number is the logit of the second of two classes. */
function chosenClass(logits: Float32Array): number {
  if (logits.length === 1) return Number(logits[0]! > 0);
  let best = 0;
  for (let at = 1; at < logits.length; at++) if (logits[at]! > logits[best]!) best = at;
  return best;
}
