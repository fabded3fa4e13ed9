import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { kolmogorovSmirnov } from '../../../src/core/data/drift';
import { objectiveFor, type JudgedData, type Objective } from '../../../src/core/evaluate/metrics';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';

interface Statistics {
  readonly sequence: { readonly logits: number[]; readonly labels: number[]; readonly loss: number; readonly accuracy: number; readonly masked: number[]; readonly maskedLoss: number; readonly slope: number[] };
  readonly ranking: { readonly scores: number[]; readonly candidates: number; readonly k: number; readonly hits: number; readonly ndcg: number; readonly bce: number; readonly bpr: number; readonly slopes: { readonly bce: number[]; readonly bpr: number[] } };
  readonly drift: readonly { readonly left: number[]; readonly right: number[]; readonly statistic: number; readonly pValue: number }[];
}

const known = JSON.parse(fs.readFileSync(path.join(__dirname, '../../fixtures/data/statistics.json'), 'utf8')) as Statistics;

describe('sequences and rankings', () => {
  const { sequence, ranking } = known;

  it('perplexity and accuracy of every position: scikit-learn\'s log loss', () => {
    const found = score(objective({ task: 'nextToken' }, [null, 4, 5]), sequence.logits, 3, Int32Array.from(sequence.labels));
    near(found.loss, sequence.loss);
    near(found.metrics['perplexity']!, Math.exp(sequence.loss));
    near(found.metrics['accuracy']!, sequence.accuracy);
  });

  it('positions labelled -1 do not count: PyTorch\'s ignore_index', () => {
    near(score(objective({ task: 'nextToken' }, [null, 4, 5]), sequence.logits, 3, Int32Array.from(sequence.masked)).loss, sequence.maskedLoss);
  });

  it('slope of a sequence\'s loss: PyTorch\'s gradient', () => {
    const into = new Float32Array(60);
    objective({ task: 'nextToken' }, [null, 4, 5]).slope(into, Float32Array.from(sequence.logits), 20, { classes: Int32Array.from(sequence.labels) });
    sequence.slope.forEach((value, at) => near(into[at]!, value));
  });

  for (const loss of ['bce', 'bpr'] as const) {
    it(`ranking with ${loss}: scikit-learn's NDCG, PyTorch's loss and gradient`, () => {
      const judge = objective({ task: 'ranking', rowsPerSample: ranking.candidates, ranking: { k: ranking.k, loss } }, [null, 1]);
      const found = score(judge, ranking.scores, 20, new Int32Array(20));
      near(found.loss, ranking[loss]);
      near(found.metrics['HR@3']!, ranking.hits);
      near(found.metrics['NDCG@3']!, ranking.ndcg);
      assert.deepEqual(judge.decisive, { name: 'HR@3', higherIsBetter: true });
      const into = new Float32Array(ranking.scores.length);
      judge.slope(into, Float32Array.from(ranking.scores), ranking.candidates, { classes: new Int32Array(20) });
      ranking.slopes[loss].forEach((value, at) => near(into[at]!, value));
    });
  }

  it('a model that tells nothing apart, or gives no numbers, finds nothing', () => {
    const judge = objective({ task: 'ranking', rowsPerSample: 4, ranking: { k: 2, loss: 'bce' } }, [null, 1]);
    assert.equal(score(judge, [1, 1, 1, 1, NaN, 0, 0, 0], 2, new Int32Array(2)).metrics['HR@2'], 0);
    assert.throws(() => score(judge, [1, 2, 3], 1, new Int32Array(1)), /one score for each candidate, but the model gives 3 numbers for 4 candidates/);
  });

  known.drift.forEach(({ left, right, statistic, pValue }, index) => it(`Kolmogorov-Smirnov ${index}: SciPy's statistic, and its chance within a tenth`, () => {
    const found = kolmogorovSmirnov(left, right);
    near(found.statistic, statistic);
    assert.ok(Math.abs(Math.log10(found.pValue / pValue)) < 0.1 * Math.max(0.5, -Math.log10(pValue)), `${found.pValue} instead of ${pValue}`);
  }));
});

function objective(data: Omit<JudgedData, 'title'>, shape: readonly (number | null)[]): Objective {
  const graph = { inputs: [], outputs: [{ name: 'y', shape }], nodes: [], tensors: new Map(), layers: [], values: new Map() } as unknown as ModelGraph;
  return objectiveFor(graph, { title: 'test', ...data });
}

function score(judge: Objective, outputs: readonly number[], samples: number, classes: Int32Array): ReturnType<Objective['finish']> {
  const sums = new Float64Array(judge.sums);
  const each = classes.length / samples;
  const width = outputs.length / samples;
  // One sample at a time gives what all together give.
  for (let row = 0; row < samples; row++) judge.add(sums, Float32Array.from(outputs), width, row, row + 1, { classes: classes.subarray(row * each, (row + 1) * each) });
  return judge.finish(sums, samples);
}

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 2e-6 * Math.max(1, Math.abs(expected)), `${actual} instead of ${expected}`);
}
