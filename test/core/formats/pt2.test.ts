import assert from 'node:assert';
import path from 'node:path';
import { zipSync, unzipSync } from 'fflate';
import { createEngine } from '../../../src/engines/registry';
import { openModel } from '../../../src/core/formats/registry';
import type { Engine } from '../../../src/core/graph/engine';
import { asFloat32, int64Array, float32Array } from '../../../src/core/graph/numeric';
import { decompose } from '../../../src/core/particles/decompose';
import { couplingGroups } from '../../../src/core/optimise/groups';
import { removable } from '../../../src/core/optimise/removal';
import { fixture, memoryFiles } from './memoryFiles';

interface Run {
  readonly file: string;
  readonly inputDtype: 'float32' | 'int64';
  readonly inputShape: readonly number[];
  readonly input: readonly number[];
  readonly outputShape: readonly number[];
  readonly output: readonly number[];
}

const runs = JSON.parse(Buffer.from(fixture('pt2/runs.json')).toString()) as readonly Run[];

describe('programs of torch.export', function () {
  this.timeout(60_000);
  let engine: Engine;
  before(async () => (engine = await createEngine('auto')));

  for (const run of runs) {
    it(`${run.file} computes what PyTorch computes, for another batch size than it was exported with`, async () => {
      const graph = await openModel(memoryFiles(path.basename(run.file), fixture(run.file)));
      assert.deepEqual(graph.findings.filter(({ severity }) => severity !== 'info'), []);
      assert.deepEqual(engine.unsupported(graph), []);
      const [input, output] = [graph.inputs[0]!.name, graph.outputs[0]!.name];
      const program = await engine.compile(graph, [input], [output]);
      const x = run.inputDtype === 'int64' ? int64Array(run.input, run.inputShape) : float32Array(run.input, run.inputShape);
      const y = (await program.run(new Map([[input, x]]))).get(output)!;
      await program.dispose();
      assert.deepEqual(y.shape, run.outputShape);
      const values = asFloat32(y);
      const worst = Math.max(...run.output.map((value, index) => Math.abs(value - values[index]!) / (1 + Math.abs(value))));
      assert.ok(worst <= 1e-5, `off by ${worst}`);
    });
  }

  it('channels are followed through the translated graph', async () => {
    const graph = await openModel(memoryFiles('convolutions.pt2', fixture('pt2/convolutions.pt2')));
    const table = decompose(graph);
    assert.match(couplingGroups(graph, table).groupOf(table.group('conv1')!.firstRow).reason, /because of the depthwise convolution depthwise/);
    assert.equal(removable(graph, table).get('up'), undefined, 'the transposed convolution can be made smaller');
    assert.match(removable(graph, table).get('fc')!.reason, /LogSoftmax/);
    const roles = table.group('conv1')!.slices.map(({ tensor, role }) => `${tensor} ${role}`);
    assert.ok(roles.includes('conv1.weight weight') && roles.includes('bn1.weight norm') && roles.includes('bn1.running_var norm'), roles.join(', '));
  });

  it('an operator without a rule is opaque, named, and stops removal', async () => {
    const graph = await openModel(memoryFiles('unknown.pt2', fixture('pt2/unknown.pt2')));
    assert.ok(graph.nodes.some(({ domain, op }) => domain === 'pytorch' && op === 'aten.cumsum.default'));
    assert.match(removable(graph, decompose(graph)).get('fc')!.reason, /aten\.cumsum/);
  });

  it('damaged programs end in one clear error', async () => {
    const entries = unzipSync(fixture('pt2/convolutions.pt2'));
    const json = Object.keys(entries).find((name) => name.endsWith('models/model.json'))!;
    const text = Buffer.from(entries[json]!).toString();
    const cases: Record<string, [Record<string, Uint8Array>, RegExp]> = {
      'no JSON': [{ ...entries, [json]: new Uint8Array([1]) }, /not valid JSON/],
      'an empty object': [{ ...entries, [json]: Buffer.from('{}') }, /has no 'graph_module'/],
      'a missing weight': [Object.fromEntries(Object.entries(entries).filter(([name]) => !name.endsWith('weight_0'))), /weight_0: the archive does not hold it/],
      'a short weight': [Object.fromEntries(Object.entries(entries).map(([name, data]) => [name, name.endsWith('weight_0') ? data.slice(4) : data])), /tensor conv1.weight: it needs 144 bytes/],
      'a value that nothing makes': [{ ...entries, [json]: Buffer.from(text.replaceAll('"name": "input", "arg": {"as_tensor": {"name": "max_pool2d"}}', '"name": "input", "arg": {"as_tensor": {"name": "nobody"}}')) }, /nobody/],
    };
    for (const [name, [files, reason]] of Object.entries(cases)) {
      await assert.rejects(openModel(memoryFiles('m.pt2', zipSync(files, { level: 0 }))), { name: 'ParticlizeError', message: reason }, name);
    }
  });
});
