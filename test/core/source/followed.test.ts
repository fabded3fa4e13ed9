import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileSetOf } from '../../../src/compute/files';
import { loadParse } from '../../../src/compute/parsers';
import { openModel } from '../../../src/core/formats/registry';
import type { ShapeChange } from '../../../src/core/optimise/plan';
import { keyOfDefinition } from '../../../src/core/source/definitionKey';
import { applyEdits, editSource } from '../../../src/core/source/editSource';
import { findDefinitions, programOf } from '../../../src/core/source/findDefinitions';
import { graphFromSource } from '../../../src/core/source/graphFromSource';
import { linkDefinitions, type LinkableLayer } from '../../../src/core/source/linkDefinitions';
import type { Parse } from '../../../src/core/source/syntaxTree';
import { createEngine } from '../../../src/engines/registry';
import { runGraph } from '../support/runGraph';

interface Recorded {
  readonly name: string;
  readonly before: string;
  readonly after: string;
  readonly layers: readonly LinkableLayer[];
  readonly changes: readonly ShapeChange[];
}

const recorded = JSON.parse(readFileSync(path.resolve('test', 'fixtures', 'source', 'followed.json'), 'utf8')) as Recorded[];
const sample = path.resolve('media', 'samples', 'digits');

describe('source: code that is followed', () => {
  let parse: Parse;
  before(async () => {
    parse = await loadParse(['python']);
  });

  it('has at least 40 styles that came through their own framework', () => assert.ok(recorded.length >= 40, String(recorded.length)));

  for (const { name, before, after, layers, changes } of recorded) {
    it(`${name}: the edits are those that the framework loaded its weights into`, () => {
      const links = linkDefinitions(findDefinitions(before, 'python', parse), layers);
      const { edits, manual } = editSource(before, 'python', parse, links, changes);
      assert.deepEqual(manual, []);
      assert.equal(applyEdits(before, edits), after);
      assert.notEqual(after, before);
      assert.ok(edits.every(({ label }) => label.includes('→')), JSON.stringify(edits));
    });
  }

  it('makes a graph of a state dict that gives PyTorch\'s logits', async () => {
    const graph = await openModel(await fileSetOf(path.join(sample, 'model.pt')));
    const made = await graphFromSource(programOf(readFileSync(path.join(sample, 'digits_torch.py'), 'utf8'), 'python', parse), graph);
    assert.ok('graph' in made, JSON.stringify(made));
    assert.deepEqual(made.graph.inputs.map(({ shape }) => shape), [[null, 1, 8, 8]]);
    const exported = await openModel(await fileSetOf(path.join(sample, 'model.onnx')));
    const engine = await createEngine('auto', { threads: 1 });
    const data = Float32Array.from({ length: 128 }, (_, index) => Math.sin(index) * 3);
    const run = (one: typeof graph) => runGraph(engine, one, new Map([[one.inputs[0]!.name, { dtype: 'float32', shape: [2, 1, 8, 8], data }]]));
    const [ours, theirs] = [await run(made.graph), await run(exported)];
    assert.equal(ours.length, 20);
    ours.forEach((value, index) => assert.ok(Math.abs(value - theirs[index]!) < 1e-4, `${value} ${theirs[index]}`));
  });

  it('says which line of a model it could not follow, and which shape does not fit', async () => {
    const graph = await openModel(await fileSetOf(path.join(sample, 'model.pt')));
    const text = readFileSync(path.join(sample, 'digits_torch.py'), 'utf8');
    const reason = async (code: string): Promise<string> => {
      const made = await graphFromSource(programOf(code, 'python', parse), graph);
      return 'reason' in made ? `${made.reason} @ ${code.slice(made.place.start, made.place.end)}` : 'a graph';
    };
    assert.match(await reason(text.replace('conv1_width=16', 'conv1_width=15')), /by the code conv1\.weight is 15 × 1 × \d × \d, in the file it is 16 × 1/);
    assert.match(await reason(text.replace(/def forward\(self, (\w+)\):/, 'def forward(self, $1):\n        $1 = torch.fft.fft2($1)')), /fft2/);
    assert.match(await reason('x = 1'), /no PyTorch model/);
  });

  it('does what the user says of a layer, also after the file was edited', () => {
    const code = 'import torch.nn as nn\nclass N(nn.Module):\n  def __init__(self):\n    self.a = nn.Linear(2, 3)\n    self.b = nn.Linear(3, 2)\n';
    const layers = [{ name: 'a', type: 'Linear', width: 3 }, { name: 'b', type: 'Linear', width: 2 }];
    const [a, b] = findDefinitions(code, 'python', parse);
    const key = keyOfDefinition([a!, b!], b!);
    const edited = `# one more line\n${code}`;
    const links = linkDefinitions(findDefinitions(edited, 'python', parse), layers, [{ layer: 'a', definition: key }, { layer: 'b' }]);
    assert.deepEqual(links.map(({ layer, definition, confidence }) => [layer, definition.name, confidence]), [['a', 'b', 1]]);
    const gone = linkDefinitions(findDefinitions(code.replaceAll('self.b', 'self.c'), 'python', parse), layers, [{ layer: 'a', definition: key }]);
    assert.deepEqual(gone.map(({ layer, definition }) => [layer, definition.name])[0], ['a', 'a']);
  });
});
