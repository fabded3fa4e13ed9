import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { onnx } from '../../../src/core/formats/onnx';
import { ParticlizeError } from '../../../src/core/graph/errors';
import { fixtureFolder, memoryFiles } from '../support/memoryFiles';

const bytesOf = (name: string): Uint8Array => new Uint8Array(fs.readFileSync(path.join(fixtureFolder, 'onnx', name)));

/** Opens and reads everything; 'graph' or the sentence that the user sees. Any other error fails the test. */
async function outcome(bytes: Uint8Array, what: string): Promise<string> {
  try {
    const graph = await onnx.open(memoryFiles('bad.onnx', bytes));
    for (const tensor of graph.tensors.values()) {
      await tensor.read().catch((error: unknown) => {
        if (!(error instanceof ParticlizeError)) throw error;
      });
    }
    return 'graph';
  } catch (error) {
    if (!(error instanceof ParticlizeError)) throw new Error(`${what}: ${String(error)}`, { cause: error });
    assert.match(error.message, /^bad\.onnx: [^\n]{5,600}$/);
    return error.message;
  }
}

describe('onnx: hostile files', function () {
  this.timeout(60_000);

  for (const name of ['exported.onnx', 'kept.onnx', 'branch.onnx']) {
    it(`${name} cut off at every 97th byte is refused in one sentence`, async () => {
      const bytes = bytesOf(name);
      let refused = 0;
      for (let length = 1; length < bytes.length; length += 97) {
        if (await outcome(bytes.subarray(0, length), `${length} bytes`) !== 'graph') refused++;
      }
      // The graph is one field that reaches nearly to the end, so nearly every cut is noticed.
      assert.ok(refused >= Math.floor(bytes.length / 97) - 2, `${refused} refused`);
    });
  }

  it('500 files with flipped bits, and 100 of random bytes, give a graph or one sentence', async () => {
    let state = 12345;
    const random = (limit: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state % limit;
    };
    const originals = ['exported.onnx', 'kept.onnx', 'types.onnx', 'branch.onnx', 'outside.onnx'].map(bytesOf);
    const outcomes = { graph: 0, refused: 0 };
    const before = process.memoryUsage().rss;
    for (let round = 0; round < 500; round++) {
      const bytes = originals[round % originals.length]!.slice();
      for (let flips = 1 + random(4); flips > 0; flips--) bytes[random(bytes.length)]! ^= 1 << random(8);
      outcomes[await outcome(bytes, `round ${round}`) === 'graph' ? 'graph' : 'refused']++;
    }
    for (let round = 0; round < 100; round++) await outcome(Uint8Array.from({ length: 1 + random(400) }, () => random(256)), `random ${round}`);
    assert.ok(outcomes.graph > 50 && outcomes.refused > 50, JSON.stringify(outcomes));
    assert.ok(process.memoryUsage().rss - before < 500e6, 'memory grew');
  });
});
