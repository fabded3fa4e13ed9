import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { fileSetOf } from '../../../src/compute/files';
import { openModel } from '../../../src/core/formats/registry';
import type { Engine } from '../../../src/core/graph/engine';
import { asNumbers } from '../../../src/core/graph/numeric';
import { decompose } from '../../../src/core/particles/decompose';
import { createEngine } from '../../../src/engines/registry';
import { relativeError } from '../support/graphs';
import { fixtureFolder } from '../support/memoryFiles';

interface Entry {
  readonly file: string;
  /** Shape of the fixed input, and what Keras or TensorFlow computed for it. */
  readonly input?: readonly number[];
  readonly output?: readonly number[];
  readonly tolerance?: number;
  /** Particles of the layers that have any, in order. */
  readonly particles?: readonly number[];
  /** Shape and float64 sum of every weight, in the file's layout. */
  readonly sums?: readonly (readonly [readonly number[], number])[];
}

const folder = path.join(fixtureFolder, 'formats');
const entriesOf = (name: string): Entry[] => JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8')) as Entry[];

describe('Keras and TensorFlow files compute what their own libraries computed', function () {
  this.timeout(60_000);
  let engine: Engine;
  before(async () => (engine = await createEngine('auto', { threads: 1 })));

  for (const entry of [...entriesOf('manifest.keras.json'), ...entriesOf('manifest.tensorflow.json')]) {
    if (!entry.output && !entry.sums) continue;
    it(entry.file, async () => {
      const graph = await openModel(await fileSetOf(path.join(folder, entry.file)));
      if (entry.particles) assert.deepEqual(decompose(graph).groups.map((group) => group.count), entry.particles);
      if (entry.sums) {
        const sums = await Promise.all([...graph.tensors.values()].filter(({ dtype, shape }) => dtype === 'float32' && shape.length > 0)
          .map(async (tensor) => asNumbers(await tensor.read()).reduce((sum, value) => sum + value, 0)));
        const found = sums.sort((a, b) => a - b);
        const wanted = entry.sums.map(([, sum]) => sum).sort((a, b) => a - b);
        assert.equal(found.length, wanted.length);
        found.forEach((sum, index) => assert.ok(Math.abs(sum - wanted[index]!) <= 1e-6 * (1 + Math.abs(sum)), `${sum}, not ${wanted[index]}`));
      }
      if (!entry.output || !entry.input) return;
      const count = entry.input.reduce((product, size) => product * size, 1);
      const data = Float32Array.from({ length: count }, (_, index) => Math.sin(index * 12.9898));
      const input = graph.inputs[0]!.name;
      const output = graph.outputs[0]!.name;
      const program = await engine.compile(graph, [input], [output]);
      const result = (await program.run(new Map([[input, { dtype: 'float32', shape: entry.input, data }]]))).get(output)!;
      await program.dispose();
      assert.equal(result.data.length, entry.output.length);
      const error = relativeError(result.data as Float32Array, Float32Array.from(entry.output));
      assert.ok(error <= (entry.tolerance ?? 1e-5), `${error}`);
    });
  }
});
