import assert from 'node:assert/strict';
import path from 'node:path';
import { classScores, compare, confusionOf, judge, type Judgements } from '../../../src/core/evaluate/comparison';
import { evaluate } from '../../../src/core/evaluate/evaluate';
import { measureLatency } from '../../../src/core/evaluate/latency';
import { digits, openSample } from '../support/openSample';

const classes = { name: 'accuracy', higherIsBetter: true };

function judgements(labels: readonly number[], predictions: readonly number[], losses: readonly number[]): Judgements {
  return {
    labels: Int32Array.from(labels), predictions: Int32Array.from(predictions), losses: Float64Array.from(losses),
    scores: Float64Array.from(labels, (label, index) => Number(label === predictions[index])), decisive: classes,
  };
}

describe('who pays for a change', () => {
  const before = judgements([0, 0, 1, 1, 2], [0, 0, 1, 0, 2], [0.1, 0.1, 0.2, 0.9, 0.3]);
  const after = judgements([0, 0, 1, 1, 2], [0, 1, 1, 1, 0], [0.1, 0.7, 0.1, 0.4, 2.3]);
  const data = { classes: ['a', 'b', 'c'], caption: async (sample: number) => `row ${sample}` } as never;

  it('counts the samples that were lost and won, and ranks classes and samples by what they lost', async () => {
    assert.deepEqual(await compare(before, after, data), {
      samples: 5, lost: 2, won: 1,
      classes: [{ name: 'c', samples: 1, before: 1, after: 0 }, { name: 'a', samples: 2, before: 1, after: 0.5 }, { name: 'b', samples: 2, before: 0.5, after: 1 }],
      paid: [{ sample: 4, title: 'row 4', before: 0.3, after: 2.3 }, { sample: 1, title: 'row 1', before: 0.1, after: 0.7 }],
    });
  });

  it('a confusion matrix has right classes as rows; recall and precision follow', () => {
    const confusion = confusionOf(after, ['a', 'b', 'c'])!;
    assert.deepEqual(confusion.counts, [1, 1, 0, 0, 2, 0, 1, 0, 0]);
    const third = 2 / 3;
    assert.deepEqual(classScores(confusion), [
      { name: 'a', samples: 2, recall: 0.5, precision: 0.5 }, { name: 'b', samples: 2, recall: 1, precision: third }, { name: 'c', samples: 1, recall: 0 },
    ]);
  });

  it('sample by sample gives the same as all at once, on every second batch too', async () => {
    const { graph, engine, data: samples } = await openSample(path.join(digits, 'model.onnx'), path.join(digits, 'digits.particlize.json'));
    const whole = await evaluate(graph, engine, samples, { memoryBytes: 2 ** 28 });
    const single = await judge(graph, engine, samples, { memoryBytes: 2 ** 16 });
    const mean = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;
    assert.ok(Math.abs(mean(single.losses) - whole.loss) < 1e-6);
    assert.equal(mean(single.scores), whole.metrics['accuracy']);
    const { counts } = confusionOf(single, samples.classes)!;
    assert.equal(counts.reduce((sum, count) => sum + count, 0), samples.count);
    assert.equal(counts.filter((_, index) => index % 11 === 0).reduce((sum, count) => sum + count, 0), Math.round(whole.metrics['accuracy']! * samples.count));
    const latency = await measureLatency(graph, engine, samples, 1);
    assert.ok(latency.medianMs > 0 && latency.runs >= 5);
    assert.deepEqual([latency.engine, latency.threads], [engine.title, 1]);
  });
});
