import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { onnx } from '../../../src/core/formats/onnx';
import { encodeModel } from '../../../src/core/formats/onnx/onnxEncode';
import type { Engine } from '../../../src/core/graph/engine';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { removalOf } from '../../../src/core/optimise/removal';
import { removeAxes } from '../../../src/core/optimise/removeAxes';
import { decompose } from '../../../src/core/particles/decompose';
import { createEngine } from '../../../src/engines/registry';
import { relativeError } from '../support/graphs';
import { contentsOf, fixtureFolder, memoryFiles } from '../support/memoryFiles';

const folder = path.join(fixtureFolder, 'onnx');

describe('ONNX functions are opened as the operators that they consist of', () => {
  let engine: Engine;
  let graph: ModelGraph;
  const recorded = JSON.parse(fs.readFileSync(path.join(folder, 'functions.json'), 'utf8')) as Record<string, number[]>;
  const bytes = new Uint8Array(fs.readFileSync(path.join(folder, 'functions.onnx')));

  before(async () => {
    engine = await createEngine('auto');
    graph = await onnx.open(memoryFiles('functions.onnx', bytes));
  });

  it('and compute what NumPy does', async () => {
    assert.ok(graph.nodes.every(({ domain }) => domain === ''));
    assert.deepEqual(graph.nodes.filter(({ op }) => op === 'LeakyRelu').map(({ attributes }) => attributes['alpha']?.value as number).map((alpha) => alpha.toFixed(1)), ['0.3', '0.7', '0.1']);
    await assertRuns(graph);
  });

  it('a model without some of their particles is saved without the functions and opens again', async () => {
    const table = decompose(graph);
    const group = table.groups.find(({ count }) => count === 5)!;
    const { removed } = removalOf(graph, table, new Set([group.firstRow + 2]));
    const small = await removeAxes(graph, removed);
    const [file] = await onnx.save!(graph, small, 'small.onnx');
    const again = await onnx.open(memoryFiles('small.onnx', await contentsOf(file!)));
    const feed = new Map([['x', { dtype: 'float32' as const, shape: [2, 4], data: Float32Array.from(recorded['x']!) }]]);
    for (const one of [small, again]) {
      const program = await engine.compile(one, ['x'], ['z']);
      const z = (await program.run(feed)).get('z')!;
      await program.dispose();
      assert.deepEqual(z.shape, [2, 4]);
      assert.ok(relativeError(z.data as Float32Array, recorded['z']!.filter((_, at) => at % 5 !== 2)) <= 1e-5);
    }
  });

  it('a function that calls itself is refused by name', async () => {
    const sets = [{ domain: '', version: 18 }, { domain: 'own', version: 1 }];
    const call = { op_type: 'Endless', domain: 'own', input: ['a'], output: ['b'] };
    const model = encodeModel({
      ir_version: 9, opset_import: sets,
      graph: { name: 'g', node: [{ ...call, input: ['x'], output: ['y'] }], input: [{ name: 'x' }], output: [{ name: 'y' }] },
      functions: [{ name: 'Endless', domain: 'own', input: ['a'], output: ['b'], node: [call], opset_import: sets }],
    });
    await assert.rejects(onnx.open(memoryFiles('endless.onnx', await model.whole())), /endless\.onnx: its function Endless calls itself/);
  });

  it('functions that double at every step end in an error, not in a full memory', async () => {
    const sets = [{ domain: '', version: 18 }, { domain: 'own', version: 1 }];
    const functions = Array.from({ length: 40 }, (_, depth) => ({
      name: `f${depth}`, domain: 'own', input: ['a'], output: ['c'], opset_import: sets,
      node: [['a', 'b'], ['b', 'c']].map(([from, to]) => ({ op_type: depth ? `f${depth - 1}` : 'Relu', domain: depth ? 'own' : '', input: [from!], output: [to!] })),
    }));
    const model = encodeModel({
      ir_version: 9, opset_import: sets, functions,
      graph: { name: 'g', node: [{ op_type: 'f39', domain: 'own', input: ['x'], output: ['y'] }], input: [{ name: 'x' }], output: [{ name: 'y' }] },
    });
    await assert.rejects(onnx.open(memoryFiles('deep.onnx', await model.whole())), /deep\.onnx: its functions call each other so often/);
  }).timeout(20_000);

  async function assertRuns(one: ModelGraph): Promise<void> {
    const program = await engine.compile(one, ['x'], ['y', 'same', 'z']);
    const results = await program.run(new Map([['x', { dtype: 'float32', shape: [2, 4], data: Float32Array.from(recorded['x']!) }]]));
    await program.dispose();
    for (const name of ['y', 'same', 'z']) assert.ok(relativeError(results.get(name)!.data as Float32Array, recorded[name]!) <= 1e-5, name);
  }
});

