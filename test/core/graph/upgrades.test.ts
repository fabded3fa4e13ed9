import assert from 'node:assert/strict';
import fs from 'node:fs';
import { int, string } from '../../../src/core/graph/attributes';
import type { Attribute } from '../../../src/core/graph/modelGraph';
import { readDraft } from '../../../src/core/formats/onnx/onnxReader';
import { baseOpset, finishGraph } from '../../../src/core/graph/finishGraph';
import { asFloat32 } from '../../../src/core/graph/numeric';
import { familyOf } from '../../../src/core/graph/ops/registry';
import { elementCount, type NdArray } from '../../../src/core/graph/tensor';
import { createEngine } from '../../../src/engines/registry';
import { backendNodeFile, readBackendCases, readTensorFile } from '../support/backendNode';

describe(`upgraded operators compute what the old ones did${fs.existsSync(backendNodeFile) ? '' : ' (skipped: ../shared/models is not here)'}`, () => {
  it('on ONNX\'s own tests of earlier operator sets', async function () {
    if (!fs.existsSync(backendNodeFile)) return this.skip();
    this.timeout(240_000);
    const engine = await createEngine('auto');
    const wrong: string[] = [];
    const unrun: string[] = [];
    let compared = 0;
    for (const { name, model, inputs, outputs } of readBackendCases()) {
      const draft = await readDraft(model).catch(() => undefined);
      if (!draft || draft.opset >= baseOpset || !draft.nodes.every((node) => familyOf(node))) continue;
      const feeds = new Map<string, NdArray>();
      for (const [index, input] of draft.inputs.entries()) {
        const tensor = await readTensorFile(inputs[index]);
        if (tensor && tensor.dtype !== 'string') feeds.set(input.name, await tensor.read());
      }
      if (feeds.size !== draft.inputs.length) continue;
      const graph = await finishGraph(draft);
      const fetches = graph.outputs.map((output) => output.name);
      const results = await engine.compile(graph, [...feeds.keys()], fetches).then((program) => program.run(feeds)).catch((error: unknown) => String(error));
      if (typeof results === 'string') {
        unrun.push(`${name}: ${results.slice(0, 150)}`);
        continue;
      }
      for (const [index, fetch] of fetches.entries()) {
        const recorded = await (await readTensorFile(outputs[index]))?.read();
        const actual = results.get(fetch);
        if (!recorded || !actual) continue;
        compared++;
        // The tolerance of ONNX's own test runner.
        const [expected, got] = [asFloat32(recorded), asFloat32(actual)];
        const close = (value: number, k: number): boolean => Object.is(value, got[k]) || Math.abs(value - got[k]!) <= 1e-7 + 1e-3 * Math.abs(value)
          || (Number.isNaN(value) && Number.isNaN(got[k]!));
        if (expected.length !== got.length || !expected.every(close)) wrong.push(name);
      }
    }
    assert.deepEqual(wrong, []);
    assert.deepEqual(unrun.filter((line) => !/Could not find an implementation/.test(line)), [], 'only missing kernels for integers may stop it');
    assert.ok(compared > 400, `only ${compared} outputs were compared`);
  });

  it('softmax of set 11 normalises everything behind its axis as one', async () => {
    const y = await runOld(11, 'Softmax', [2, 3, 4], { axis: int(1) });
    for (const sample of [y.slice(0, 12), y.slice(12)]) assert.ok(Math.abs(sample.reduce((sum, value) => sum + value, 0) - 1) < 1e-6);
  });

  it('nearest Upsample repeats rows and columns', async () => {
    const scales: Attribute = { type: 'floats', value: [1, 1, 2, 3] };
    const y = await runOld(7, 'Upsample', [1, 1, 2, 2], { mode: string('nearest'), scales });
    assert.deepEqual([...y], Array.from({ length: 24 }, (_, k) => ramp(2 * Math.floor(Math.floor(k / 6) / 2) + Math.floor((k % 6) / 3))));
  });
});

const ramp = (k: number): number => Math.fround(Math.sin(k + 1));

async function runOld(opset: number, op: string, shape: readonly number[], attributes: Readonly<Record<string, Attribute>>): Promise<Float32Array> {
  const graph = await finishGraph({
    format: 'test', producer: '', opset, tensors: new Map(), layers: [], findings: [], origin: undefined,
    inputs: [{ name: 'x', dtype: 'float32', shape }], outputs: [{ name: 'y' }],
    nodes: [{ name: 'n', op, domain: '', inputs: ['x'], outputs: ['y'], attributes, layer: 'n' }],
  });
  const program = await (await createEngine('auto')).compile(graph, ['x'], ['y']);
  const data = Float32Array.from({ length: elementCount(shape) }, (_, k) => ramp(k));
  return asFloat32((await program.run(new Map([['x', { dtype: 'float32', shape, data }]]))).get('y')!);
}
