import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { loadParse } from '../../../src/compute/parsers';
import { applyEdits, editSource } from '../../../src/core/source/editSource';
import { findDefinitions } from '../../../src/core/source/findDefinitions';
import { linkDefinitions } from '../../../src/core/source/linkDefinitions';
import { languageOfFile, type Parse } from '../../../src/core/source/syntaxTree';
import { weightsEdit } from '../../../src/core/source/weightsEdit';
import { changesOf, layersOf, type Layout } from './styles/style';

const model = 'conv1:conv:1>16 conv2:conv:16>32 dense1:dense:512>64 dense2:dense:64>10';
const prune = { conv1: 13, conv2: 27, dense1: 40 };

interface Sample {
  readonly file: string;
  readonly layout: Layout;
  /** Lines that change, before and after. */
  readonly changes: readonly (readonly [string, string])[];
  readonly labels: readonly string[];
  readonly weights: readonly [oldName: string, newName: string, before: string, after: string];
}

const samples: readonly Sample[] = [
  {
    file: 'digits_keras.py', layout: 'last',
    changes: [
      ['layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),', 'layers.Conv2D(13, 3, padding="same", activation="relu", name="conv1"),'],
      ['layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2"),', 'layers.Conv2D(27, 3, padding="same", activation="relu", name="conv2"),'],
      ['layers.Dense(64, activation="relu", name="dense1"),', 'layers.Dense(40, activation="relu", name="dense1"),'],
    ],
    labels: ['conv1: 16 → 13 kernels', 'conv2: 32 → 27 kernels', 'dense1: 64 → 40 neurons'],
    weights: ['model.keras', 'model-pruned.keras', 'with_name("model.keras")', 'with_name("model-pruned.keras")'],
  },
  {
    file: 'digits_torch.py', layout: 'first',
    changes: [[
      'def __init__(self, conv1_width=16, conv2_width=32, dense1_width=64):', 'def __init__(self, conv1_width=13, conv2_width=27, dense1_width=40):',
    ]],
    labels: ['conv1: 16 → 13 kernels', 'conv2: 32 → 27 kernels', 'dense1: 64 → 40 neurons'],
    weights: ['model.pt', 'model-pruned.pt', 'with_name("model.pt")', 'with_name("model-pruned.pt")'],
  },
  {
    file: 'digitsTfjs.ts', layout: 'last',
    changes: [
      ['const CONV1_FILTERS = 16;', 'const CONV1_FILTERS = 13;'], ['const CONV2_FILTERS = 32;', 'const CONV2_FILTERS = 27;'],
      ['const DENSE1_UNITS = 64;', 'const DENSE1_UNITS = 40;'],
    ],
    labels: ['conv1: 16 → 13 kernels', 'conv2: 32 → 27 kernels', 'dense1: 64 → 40 neurons'],
    weights: ['tfjs/model.json', 'tfjs-pruned/model.json', "'tfjs/model.json'", "'tfjs-pruned/model.json'"],
  },
];

describe('source: the sample definitions', () => {
  let parse: Parse;
  before(async () => {
    parse = await loadParse(['python', 'typescript']);
  });

  for (const sample of samples) {
    const text = readFileSync(path.resolve('media', 'samples', 'digits', sample.file), 'utf8');
    const language = languageOfFile(sample.file)!;

    it(`${sample.file}: each layer is linked by its name, with confidence`, () => {
      const definitions = findDefinitions(text, language, parse);
      const links = linkDefinitions(definitions, layersOf(model, sample.layout));
      assert.deepEqual(links.map((link) => [link.definition.name, link.layer]), ['conv1', 'conv2', 'dense1', 'dense2'].map((name) => [name, name]));
      for (const { confidence, reason, definition } of links) {
        assert.ok(confidence > 0.9, `${definition.name}: ${confidence}`);
        assert.equal(reason, 'same name');
        const line = text.slice(text.lastIndexOf('\n', definition.anchor.start) + 1, definition.span.end);
        assert.ok(line.includes(definition.type.split('.').at(-1)!), line);
      }
    });

    it(`${sample.file}: pruning changes these lines and no other`, () => {
      const links = linkDefinitions(findDefinitions(text, language, parse), layersOf(model, sample.layout));
      const { edits, manual } = editSource(text, language, parse, links, changesOf(model, prune, sample.layout));
      assert.deepEqual(manual, []);
      assert.deepEqual(edits.map((edit) => edit.label), sample.labels);
      const [before, after] = [text.split('\n'), applyEdits(text, edits).split('\n')];
      const changed = before.flatMap((line, index) => (line === after[index] ? [] : [[line.trim(), after[index]!.trim()]]));
      assert.deepEqual(changed, sample.changes);
      assert.equal(after.length, before.length);
    });

    it(`${sample.file}: a smaller change leaves the other layers alone`, () => {
      const links = linkDefinitions(findDefinitions(text, language, parse), layersOf(model, sample.layout));
      const { edits } = editSource(text, language, parse, links, changesOf(model, { dense1: 63 }, sample.layout));
      assert.deepEqual(edits.map((edit) => [text.slice(edit.span.start, edit.span.end), edit.text]), [['64', '63']]);
    });

    it(`${sample.file}: the new weights are loaded where the old ones were`, () => {
      const [oldName, newName, before, after] = sample.weights;
      const { edits, manual } = weightsEdit(text, language, parse, oldName, newName);
      assert.deepEqual(manual, []);
      assert.equal(text.split(before).length, 2);
      assert.equal(applyEdits(text, edits), text.replace(before, after));
    });
  }
});
