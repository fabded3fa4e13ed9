import { formats } from '../../src/core/formats/registry';
import { fuzz } from '../core/support/fuzz';
import { milliseconds, type Bench, type Row } from './measure';

/**
 * Damaged files of every format, 100 000 each; PARTICLIZE_FUZZ_COUNT and PARTICLIZE_FUZZ_FORMATS (a,b) choose others,
 * PARTICLIZE_FUZZ_FROM the first case. Fails when one of them is answered by anything but a graph or one sentence.
 */
export const bench: Bench = {
  title: 'Damaged files: a graph or one sentence, within 5 s and 1 GB',
  async run() {
    const count = Number(process.env.PARTICLIZE_FUZZ_COUNT ?? 100_000);
    const from = Number(process.env.PARTICLIZE_FUZZ_FROM ?? 0);
    const wanted = process.env.PARTICLIZE_FUZZ_FORMATS?.split(',');
    const rows: Row[] = [];
    let failed = 0;
    for (const { id, title } of formats) {
      if (wanted && !wanted.includes(id)) continue;
      const { files, seeds, graphs, refused, failures, slowestMs, mostMemoryMegabytes } = await fuzz({ format: id, count, from, shared: true });
      for (const { index, seed, times, what } of failures) console.log(`${id} case ${index} (${seed}), ${times} like it: ${what}\n`);
      const bad = failures.reduce((sum, { times }) => sum + times, 0);
      failed += bad;
      rows.push({
        what: title, ours: seeds === 0 ? 'no small sample' : `${graphs} graphs, ${refused} sentences of ${files} files`,
        against: `made from ${seeds} sound files`, theirs: `slowest ${milliseconds(slowestMs)}, up to ${mostMemoryMegabytes.toFixed(0)} MB`,
        ratio: `${bad} failures`,
      });
    }
    if (failed > 0) process.exitCode = 1;
    return rows;
  },
};
