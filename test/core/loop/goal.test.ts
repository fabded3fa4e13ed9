import assert from 'node:assert/strict';
import { bestOf, decide, paretoRounds, type Decision, type Goal } from '../../../src/core/loop/goal';
import { runLoop, type RoundsPort } from '../../../src/core/loop/loop';
import { parseRound, type Round } from '../../../src/core/loop/round';

const goal: Goal = { target: { macs: 0.25 }, maxDrop: 0.01, rounds: 12 };

function made(round: number, parent: number | undefined, macs: number, accuracy: number, more: Partial<Round> = {}): Round {
  return {
    version: 1, round, ...(parent !== undefined && { parent }), action: round === 0 ? 'original' : 'remove', title: 'x', model: { file: 'model.onnx', sha256: 'a' }, fileBytes: 10,
    evaluation: { loss: 0.1, metrics: { accuracy }, decisive: { name: 'accuracy', higherIsBetter: true }, samples: 100, parameters: macs, macs, bytes: 4 * macs, engine: 'e' },
    data: { recipe: 'r.particlize.json', seed: 0 }, ...more,
  };
}

/** A model whose accuracy falls once its MACs fall below a limit, and takes whatever share it is asked for. */
function port(limit: number): RoundsPort & { readonly kept: Round[] } {
  const kept: Round[] = [];
  const keep = (round: Round): Round => (kept.push(round), round);
  return {
    kept,
    rounds: async () => kept,
    original: async () => keep(made(0, undefined, 1000, 0.98)),
    make: async ({ parent, target }, number) => {
      const macs = Math.round(kept[parent]!.evaluation.macs * target.macs!);
      return keep(made(number, parent, macs, macs >= limit ? 0.978 : 0.9));
    },
  };
}

describe('the loop decides from the rounds alone', () => {
  it('halves until the target, without overshooting it', async () => {
    const { rounds, outcome } = await runLoop(port(0), goal);
    assert.deepEqual(rounds.map(({ evaluation }) => evaluation.macs), [1000, 500, 250]);
    assert.deepEqual([outcome.status, outcome.best], ['met', 2]);
    assert.match(outcome.message, /target of 25 % of the MACs is met by round 2/);
  });

  it('goes back and takes smaller steps where too much is lost, and says the best that can be had', async () => {
    const { rounds, outcome } = await runLoop(port(420), goal);
    assert.equal(rounds[2]!.evaluation.macs, 250);
    // From round 1 again, since round 2 lost too much.
    assert.equal(rounds[3]!.parent, 1);
    assert.ok(rounds[3]!.evaluation.macs > 250);
    const best = rounds[outcome.best]!;
    assert.ok(best.evaluation.macs >= 420 && best.evaluation.macs <= 460, `${best.evaluation.macs}`);
    assert.equal(outcome.status, 'unreachable');
    assert.match(outcome.message, /^25 % of the MACs cannot be reached within a drop of 0\.01; the smallest model within it is round \d+ with 4\d/);
  });

  it('interrupted after any round, it ends with the same rounds', async () => {
    const whole = (await runLoop(port(420), goal)).rounds;
    for (let after = 1; after < whole.length; after++) {
      const again = port(420);
      again.kept.push(...whole.slice(0, after));
      assert.deepEqual((await runLoop(again, goal)).rounds, whole);
    }
  });

  it('trains more slowly after a divergence, and gives up after three', () => {
    const diverged = { training: { steps: 3, bestEpoch: 0, stopped: 'diverged', learningRate: 1 } } as const;
    const rounds = [made(0, undefined, 1000, 0.98)];
    const factors: number[] = [];
    for (let number = 1; ; number++) {
      const decision: Decision = decide(rounds, goal);
      if (decision.kind === 'end') break;
      factors.push(decision.learningRateFactor);
      rounds.push(made(number, 0, 500, 0.1, diverged));
    }
    assert.deepEqual(factors, [1, 0.1, 0.01]);
    assert.equal(decide(rounds, goal).kind, 'end');
  });

  it('ends after the rounds that were allowed, and where nothing can be removed', async () => {
    const few = await runLoop(port(420), { ...goal, rounds: 2 });
    assert.deepEqual([few.outcome.status, few.rounds.length], ['roundsUsed', 3]);
    const none = await runLoop({ ...port(0), make: async () => undefined }, goal);
    assert.deepEqual([none.outcome.status, none.outcome.best], ['unreachable', 0]);
    assert.match(none.outcome.message, /the original itself/);
  });

  it('a metric that should be small is lost when it grows, and one that is not a number is all lost', () => {
    const error = (round: number, parent: number | undefined, macs: number, rmse: number): Round => {
      const base = made(round, parent, macs, 0);
      return { ...base, evaluation: { ...base.evaluation, metrics: { rmse }, decisive: { name: 'rmse', higherIsBetter: false } } };
    };
    const rounds = [error(0, undefined, 1000, 0.5), error(1, 0, 500, 0.505), error(2, 1, 250, 0.6), error(3, 1, 100, NaN)];
    assert.equal(bestOf(rounds, goal).round, 1);
    assert.deepEqual(paretoRounds(rounds), [0, 1, 2]);
  });
});

describe('the record of a round', () => {
  const good = made(3, 1, 500, 0.97, { training: { steps: 10, bestEpoch: 1, stopped: 'done', learningRate: 0.1 } });

  it('is read as it was written', () => assert.deepEqual(parseRound(JSON.stringify(good), 'metrics.json'), good));

  it('a metric that is not a number stays one', () => {
    const lost = { ...good, evaluation: { ...good.evaluation, loss: NaN, metrics: { accuracy: NaN } } };
    assert.deepEqual(parseRound(JSON.stringify(lost), 'metrics.json'), lost);
  });

  for (const [what, change, sentence] of [
    ['a model outside of its folder', { model: { file: '../../etc/model.onnx', sha256: '' } }, /model\.file: this should be a file in the folder of the round/],
    ['a parent that comes later', { parent: 3 }, /parent: this should be an earlier round/],
    ['a second original', { action: 'original' }, /action: this should be one of/],
    ['a metric in words', { evaluation: { ...good.evaluation, metrics: { accuracy: 'high' } } }, /evaluation\.metrics\.accuracy: this should be a number/],
    ['no deciding metric', { evaluation: { ...good.evaluation, metrics: {} } }, /the deciding metric is missing/],
    ['a negative size', { fileBytes: -1 }, /fileBytes/],
    ['another version', { version: 2 }, /version/],
  ] as const) {
    it(`${what} is refused in one sentence`, () => assert.throws(() => parseRound(JSON.stringify({ ...good, ...change }), 'round-03/metrics.json'), { name: 'ParticlizeError', message: sentence }));
  }
  it('what is no JSON, or far too long, is refused', () => {
    assert.throws(() => parseRound('{', 'metrics.json'), /not valid JSON/);
    assert.throws(() => parseRound(' '.repeat(2 << 20), 'metrics.json'), /too large/);
  });
});
