import assert from 'node:assert';
import fs from 'node:fs';
import path from 'node:path';
import { openModel } from '../../../src/core/formats/registry';
import { int } from '../../../src/core/graph/attributes';
import { ParticlizeError } from '../../../src/core/graph/errors';
import { decompose } from '../../../src/core/particles/decompose';
import { graphOf, node } from '../support/graphs';
import { memoryFiles, sampleFolder } from '../support/memoryFiles';

/** Each was found by the fuzzer. */
describe('names and values that no maker of models would write', () => {
  const tfjs = (change: (json: string) => string) => {
    const [json, weights] = ['model.json', 'group1-shard1of1.bin'].map((name) => fs.readFileSync(path.join(sampleFolder, 'tfjs', name)));
    return openModel(memoryFiles('model.json', new TextEncoder().encode(change(json!.toString())), { 'group1-shard1of1.bin': new Uint8Array(weights!) }));
  };

  for (const name of ['constructor', '__proto__', 'toString']) {
    it(`an activation called ${name} is unknown, not a property of every object`, async () => {
      const graph = await tfjs((json) => json.replace(/"activation":\s*"relu"/, `"activation":"${name}"`));
      assert.ok(graph.findings.some(({ message }) => message.includes(`'${name}'`)), JSON.stringify(graph.findings));
    });
  }

  it('an error stays one line of bearable length, whatever the file put into it', () => {
    const { message } = new ParticlizeError({ file: 'a\nb', place: `tensor \u0000${'x'.repeat(9000)}`, cause: 'c\u2028d\r\te' });
    assert.match(message, /^a b: tensor {2}x+ \.\.\. x+: c d e\.$/);
    assert.ok(message.length < 1000, `${message.length}`);
  });

  it('an operator that contradicts itself has no particles and does not hide those of others', async () => {
    const graph = await graphOf({
      inputs: { x: [null, 2, 4, 4] }, outputs: ['y'], weights: { w: [6, 2, 3, 3] },
      nodes: [node('Conv', ['x', 'w'], 'c', {}, 'conv'), node('ArgMax', ['c'], 'y', { axis: int(77) })],
    });
    assert.deepStrictEqual(decompose(graph).groups.map(({ layer, count }) => [layer, count]), [['conv', 6]]);
  });
});
