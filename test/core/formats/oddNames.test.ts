import assert from 'node:assert';
import fs from 'node:fs';
import path from 'node:path';
import { openModel } from '../../../src/core/formats/registry';
import { int } from '../../../src/core/graph/attributes';
import { ParticlizeError } from '../../../src/core/graph/errors';
import { decompose } from '../../../src/core/particles/decompose';
import { graphOf, node } from '../support/graphs';
import { fixtureFolder, memoryFiles, sampleFolder } from '../support/memoryFiles';

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

  it('padding of axes that the input does not have is refused in one sentence', async () => {
    const layer = (className: string, config: object): object => ({ class_name: className, config });
    const layers = [layer('InputLayer', { name: 'in', batch_input_shape: [null, 4, 4, 2, 2], dtype: 'float32' }), layer('ZeroPadding2D', { name: 'pad', padding: [1, 1] })];
    const model = { format: 'layers-model', modelTopology: { model_config: layer('Sequential', { name: 'odd', layers }) }, weightsManifest: [{ paths: ['w.bin'], weights: [{ name: 'other/kernel', shape: [1], dtype: 'float32' }] }] };
    const opened = openModel(memoryFiles('model.json', new TextEncoder().encode(JSON.stringify(model)), { 'w.bin': new Uint8Array(4) }));
    await assert.rejects(opened, { name: 'ParticlizeError', message: /^model\.json: layer pad: it takes 4 axes, batch and channels included, but gets 5/ });
  });

  it('a text of an HDF5 file whose reference is cut off is refused in one sentence', async () => {
    const bytes = new Uint8Array(fs.readFileSync(path.join(fixtureFolder, 'formats/keras-branched.weights.h5')));
    let refused = 0;
    // Sizes of the types of attributes are four bytes; one that says 16 (a reference to a text) comes to say 1.
    for (let at = 0; at + 4 < bytes.length; at++) {
      if (bytes[at] !== 16 || bytes[at + 1] || bytes[at + 2] || bytes[at + 3]) continue;
      const changed = bytes.slice();
      changed[at] = 1;
      await openModel(memoryFiles('model.weights.h5', changed)).catch((error: unknown) => {
        assert.ok(error instanceof ParticlizeError, String(error));
        refused++;
      });
    }
    assert.ok(refused > 0);
  });

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
