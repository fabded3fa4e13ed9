import assert from 'node:assert';
import { similarity } from '../../../src/core/attributes/similarity';
import { CancelledError, type Finding } from '../../../src/core/graph/errors';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { tensorOf, type Tensor } from '../../../src/core/graph/tensor';
import { ParticleTable } from '../../../src/core/particles/particleTable';
import { randomArray, seededRandom } from '../support/graphs';

function layerOf(tensor: Tensor, axis: number) {
  const table = new ParticleTable([{
    layer: 'layer', kind: 'neuron', count: tensor.shape[axis]!, firstRow: 0, producer: { value: 'y', axis: 0 }, acts: [], slices: [{ tensor: 'w', axis, role: 'weight' }],
  }]);
  return { graph: { tensors: new Map([['w', tensor]]) } as unknown as ModelGraph, table };
}

describe('similarity: every particle\'s nearest one of its layer', function () {
  this.timeout(20_000);

  it('is that of comparing every pair, for counts and lengths that fill no vector', async () => {
    for (const [count, length] of [[2, 1], [3, 5], [7, 4], [9, 33], [64, 10], [101, 30]] as const) {
      for (const axis of [0, 1]) {
        const w = randomArray(axis === 0 ? [count, length] : [length, count], seededRandom(count + axis));
        const at = (particle: number, k: number): number => Number(w.data[axis === 0 ? particle * length + k : k * count + particle]);
        const { graph, table } = layerOf(tensorOf('w', w), axis);
        const [twin, cosine] = await similarity.compute(graph, table);
        const cosineOf = (one: number, two: number): number => {
          let [dot, a, b] = [0, 0, 0];
          for (let k = 0; k < length; k++) {
            dot += at(one, k) * at(two, k);
            a += at(one, k) ** 2;
            b += at(two, k) ** 2;
          }
          return dot / Math.sqrt(a * b);
        };
        for (let particle = 0; particle < count; particle++) {
          const others = Array.from({ length: count }, (_, other) => other).filter((other) => other !== particle);
          const most = Math.max(...others.map((other) => cosineOf(particle, other)));
          assert.ok(Math.abs(cosine![particle]! - most) < 1e-6, `${count} x ${length}: ${cosine![particle]} is not ${most}`);
          assert.ok(Math.abs(cosineOf(particle, twin![particle]!) - most) < 1e-6);
        }
      }
    }
  });

  it('a layer with too many pairs stays empty, is not read, and a finding says so', async () => {
    const tensor: Tensor = { name: 'w', dtype: 'float32', shape: [200_000, 64], read: () => Promise.reject(new Error('it is read')) };
    const { graph, table } = layerOf(tensor, 0);
    const findings: Finding[] = [];
    const [twin] = await similarity.compute(graph, table, undefined, { report: (finding) => findings.push(finding) });
    assert.ok(twin!.every(Number.isNaN));
    assert.deepStrictEqual(findings.map(({ place }) => place), ['layer']);
  });

  it('a cancel that comes while it computes is heard', async () => {
    const controller = new AbortController();
    const { graph, table } = layerOf(tensorOf('w', { dtype: 'float32', shape: [4096, 1024], data: new Float32Array(4096 * 1024).map((_, k) => Math.sin(k)) }), 0);
    setTimeout(() => controller.abort(), 150);
    await assert.rejects(similarity.compute(graph, table, { signal: controller.signal }), CancelledError);
  });
});
