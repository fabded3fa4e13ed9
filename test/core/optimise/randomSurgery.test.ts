import assert from 'node:assert/strict';
import type { Engine } from '../../../src/core/graph/engine';
import { createEngine } from '../../../src/engines/registry';
import { families } from '../support/randomFamilies';
import { surgeryTrial } from '../support/surgeryTrial';

const trials = 6;

describe('surgery on random networks: what is operated equals the original with the same particles masked', function () {
  this.timeout(60_000);
  let engine: Engine;
  before(async () => (engine = await createEngine('auto', { threads: 1 })));

  for (const family of Object.keys(families)) {
    it(family, async () => {
      let [done, largest] = [0, 0];
      for (let seed = 1; seed <= trials; seed++) {
        const { outcome, reason, effect } = await surgeryTrial(engine, family, seed);
        assert.notEqual(outcome, 'failed', `seed ${seed}: ${reason}`);
        if (outcome === 'done') done++;
        largest = Math.max(largest, effect);
      }
      assert.ok(largest > 0.01, `removing particles changes outputs by ${largest} at most`);
      assert.ok(done >= 2, `only ${done} of ${trials} plans were carried out`);
    });
  }
});
