import fs from 'node:fs';
import path from 'node:path';
import { ablation } from '../../src/core/behaviour/ablation/ablation';
import { agreement } from '../../src/core/behaviour/agreement';
import { estimateLosses } from '../../src/core/behaviour/lossEstimate';
import { estimateThenVerify } from '../../src/core/behaviour/estimateThenVerify';
import { openSample, root } from '../core/support/openSample';
import { milliseconds, timed, type Bench, type Row } from './measure';

const samples = path.join(root, 'media/samples');
const fixtures = path.join(root, 'test/fixtures/behaviour');
const models: readonly (readonly [name: string, model: string, recipe: string])[] = [
  ['digits CNN', path.join(samples, 'digits/model.onnx'), path.join(samples, 'digits/digits.particlize.json')],
  ['VGG', path.join(samples, 'vgg/model.onnx'), path.join(samples, 'vgg/vgg.particlize.json')],
  ['character LSTM', path.join(samples, 'charRnn/lstm.onnx'), path.join(samples, 'charRnn/charRnn.particlize.json')],
  ['character GRU', path.join(samples, 'charRnn/gru.onnx'), path.join(samples, 'charRnn/charRnn.particlize.json')],
  ['recommender, factors', path.join(samples, 'recommender/factors.onnx'), path.join(samples, 'recommender/stars.particlize.json')],
  ['clips, CNN + LSTM', path.join(samples, 'clips/model.onnx'), path.join(samples, 'clips/clips.particlize.json')],
  ['sora-mini', path.join(samples, 'soraMini/model.onnx'), path.join(samples, 'soraMini/soraMini.particlize.json')],
  ['CNN, 4 layers', path.join(fixtures, 'cnn.onnx'), path.join(fixtures, 'cnn.particlize.json')],
  ['small LSTM', path.join(fixtures, 'charLstm.onnx'), path.join(fixtures, 'charLstm.particlize.json')],
  ['transformer, 2 blocks', path.join(fixtures, 'transformer.onnx'), path.join(fixtures, 'transformer.particlize.json')],
  ['matrix factorisation', path.join(fixtures, 'factors.onnx'), path.join(fixtures, 'factors.particlize.json')],
];

/** Estimated against exact loss changes: agreement, time, and the least needed 30 % by estimate-then-verify. */
export const bench: Bench = {
  title: 'Estimated loss changes against exact ablation (up to 200 samples)',
  async run() {
    const rows: Row[] = [];
    for (const [name, model, recipe] of models) {
      if (!fs.existsSync(model) || !new RegExp(process.env['PARTICLIZE_BENCH_MODELS'] ?? '', 'i').test(name)) continue;
      try {
        rows.push(...await measured(name, () => openSample(model, recipe, { samples: 200, memoryBytes: 2 ** 29 })));
      } catch (error) {
        rows.push({ what: name, ours: 'failed', against: '', theirs: '', ratio: error instanceof Error ? error.message : String(error) });
      }
    }
    return rows;
  },
};

async function measured(name: string, open: () => ReturnType<typeof openSample>): Promise<Row[]> {
  const context = await open();
  const { table } = context;
  let exact = table.emptyValues();
  const exactMs = await timed(async () => void ([exact] = (await ablation.compute(context)) as [Float32Array]));
  const rows: Row[] = [];
  for (const measuring of [false, true]) {
    let found: Awaited<ReturnType<typeof estimateLosses>> | undefined;
    const ms = await timed(async () => void (found = await estimateLosses(context, table.groups, { measuring })));
    const known = Array.from(exact.keys()).filter((row) => !Number.isNaN(exact[row]!) && !Number.isNaN(found!.loss[row]!));
    const pick = (which: readonly number[]): string => {
      const agreed = agreement(which.map((row) => found!.loss[row]!), which.map((row) => exact[row]!));
      return agreed ? `Spearman ${agreed.spearman.toFixed(3)}, Pearson ${agreed.pearson.toFixed(3)}` : 'too few';
    };
    const estimated = known.filter((row) => !found!.measured.has(row));
    rows.push({
      what: `${name}: ${table.rowCount} particles, ${measuring ? `${found!.measured.size} measured` : 'backward passes alone'}`, ours: milliseconds(ms), against: 'exact ablation',
      theirs: milliseconds(exactMs), ratio: `${pick(known)}${measuring ? `; of the estimated: ${pick(estimated)}` : ''}`,
    });
    if (process.env['PARTICLIZE_BENCH_LAYERS']) {
      for (const { layer, firstRow, count } of table.groups) console.log(`  ${name} ${measuring} ${layer}: ${pick(known.filter((row) => row >= firstRow && row < firstRow + count))}`);
    }
  }
  let verified: Awaited<ReturnType<typeof estimateThenVerify>> | undefined;
  const ms = await timed(async () => void (verified = await estimateThenVerify(context, { lowestShare: 0.3 })));
  const all = Array.from(exact.keys()).filter((row) => !Number.isNaN(exact[row]!)).sort((one, two) => exact[one]! - exact[two]!);
  // Particles that change the loss equally little may stand for each other.
  const count = Math.floor(0.3 * all.length);
  const same = verified!.rows.filter((row) => exact[row]! <= exact[all[count - 1]!]! + 1e-6).length / count;
  rows.push({
    what: `${name}: lowest 30 %`, ours: milliseconds(ms), against: 'exact ablation', theirs: milliseconds(exactMs),
    ratio: `${(100 * same).toFixed(1)} % the same, ${verified!.measured.size} of ${table.rowCount} measured`,
  });
  return rows;
}
