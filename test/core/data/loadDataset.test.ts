import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { dataReport } from '../../../src/core/data/dataReport';
import { loadDataset, type DataFiles, type LoadOptions } from '../../../src/core/data/loadDataset';
import { parseRecipe, type Recipe } from '../../../src/core/data/recipe';
import { ParticlizeError } from '../../../src/core/graph/errors';
import type { ValueInfo } from '../../../src/core/graph/modelGraph';
import { asFloat32, asNumbers } from '../../../src/core/graph/numeric';
import { memorySource } from '../support/memoryFiles';
import { digits } from '../support/openSample';

const one: readonly ValueInfo[] = [{ name: 'x', shape: [null] }];
const twelve = `${[...Array(12).keys()].join(',')}\n`;

describe('recipes', () => {
  const good = { task: 'classification', data: { d: 'd.csv' }, inputs: { x: { from: 'd.a' } } };

  it('the sample\'s, with defaults filled in', () => {
    const recipe = parseRecipe(fs.readFileSync(path.join(digits, 'digits.particlize.json'), 'utf8'), 'digits.particlize.json');
    assert.equal(recipe.title, 'digits');
    assert.deepEqual(recipe.inputs['*'], { from: 'digits.images', scale: 0.0625, mean: [0], std: [1], layout: 'auto', shape: undefined, oneHot: undefined, resize: undefined, channels: undefined, text: undefined });
    assert.deepEqual(recipe.split, { train: [0, 1437], test: [1437, 1797] });
  });

  it('every field that the schema knows is accepted, and no other', () => {
    const schema = JSON.parse(fs.readFileSync(path.join(digits, '../../recipe.schema.json'), 'utf8')) as { properties: object; definitions: { input: { properties: object } } };
    const message = refusal({ ...good, dta: 1 });
    for (const name of Object.keys(schema.properties)) if (name !== '$schema') assert.ok(message.includes(name), name);
    const inner = refusal({ ...good, inputs: { x: { from: 'd.a', scael: 1 } } });
    for (const name of Object.keys(schema.definitions.input.properties)) assert.ok(inner.includes(name), name);
  });

  const wrong: readonly (readonly [unknown, RegExp])[] = [
    [{ ...good, task: 'sorting' }, /^r\.json: task: it should be one of classification, .*, not "sorting"\.$/],
    [{ data: {}, inputs: {} }, /^r\.json: data: it names no data file\.$/],
    [{ ...good, inputs: { x: { from: 'd.a', scale: '1' } } }, /^r\.json: inputs\.x\.scale: it should be a number, not "1"\.$/],
    [{ ...good, inputs: { x: { from: 'e.a' } } }, /^r\.json: inputs\.x\.from: 'e\.a' is not among the data files 'd'\.$/],
    [{ ...good, inputs: { x: { from: 'd.a', std: [1, 0] } } }, /^r\.json: inputs\.x\.std: a deviation of 0 would divide by zero\.$/],
    [{ ...good, split: { test: [5, 5] } }, /^r\.json: split\.test: the range from 5 to 5 is empty\.$/],
    [{ ...good, split: { test: [1, 2.5] } }, /^r\.json: split\.test\[1\]: it should be a whole number from 0 up, not 2\.5\.$/],
    [{ ...good, classes: ['a', 3] }, /^r\.json: classes\[1\]: it should be a text, not 3\.$/],
    [[], /^r\.json: it should be an object, not a list\.$/],
  ];
  for (const [value, message] of wrong) it(`refuses: ${message.source.slice(10, 70)}`, () => assert.match(refusal(value), message));

  it('broken JSON names line and column where Node tells them', () => {
    assert.throws(() => parseRecipe('{\n  "task": x\n}', 'r.json'), /^ParticlizeError: r\.json: (line 2, column \d+: )?this is not valid JSON\./);
  });

  function refusal(value: unknown): string {
    try {
      parseRecipe(JSON.stringify(value), 'r.json');
    } catch (error) {
      assert.ok(error instanceof ParticlizeError);
      return error.message;
    }
    return assert.fail('accepted');
  }
});

describe('data sets', () => {
  it('values become (value * scale - mean) / std, in the model\'s layout', async () => {
    const { dataset } = await load({ inputs: { x: { from: 'd.0:12', shape: [2, 2, 3], scale: 0.5, mean: [0, 1, 2], std: [1, 2, 4], layout: 'NCHW' } } }, twelve, [{ name: 'x', shape: [null, 3, 2, 2] }]);
    const x = (await dataset.inputs(0, 1)).get('x')!;
    assert.deepEqual(x.shape, [1, 3, 2, 2]);
    // Stored 0..11 as [row, column, channel].
    assert.deepEqual(asNumbers(x), [0, 1.5, 3, 4.5, -0.25, 0.5, 1.25, 2, -0.25, 0.125, 0.5, 0.875]);
  });

  it('a missing channel axis is added where the model wants it', async () => {
    for (const [wanted, layout] of [[[null, 1, 3, 4], 'auto'], [[null, 3, 4, 1], 'auto'], [[null, 1, 3, 4], 'NCHW'], [[null, 3, 4, 1], 'NHWC'], [[1, 12], 'auto'], [[null, 3, 4], 'auto']] as const) {
      const { dataset } = await load({ inputs: { '*': { from: 'd.0:12', shape: [3, 4], layout } } }, twelve, [{ name: 'x', shape: wanted }]);
      const x = (await dataset.inputs(0, 1)).get('x')!;
      assert.deepEqual(x.shape, [1, ...wanted.slice(1)]);
      assert.deepEqual(asNumbers(x), Array.from({ length: 12 }, (_, index) => index));
    }
  });

  it('casts to the model\'s type and makes one-hot vectors', async () => {
    const csv = 'id,kind\n16777217,2\n5,0\n';
    const { dataset } = await load({ inputs: { ids: { from: 'd.id' }, kinds: { from: 'd.kind', oneHot: 3 } } }, csv, [{ name: 'ids', dtype: 'int64', shape: [null] }, { name: 'kinds', shape: [null, 3] }]);
    const inputs = await dataset.inputs(0, 2);
    assert.deepEqual(inputs.get('ids')!.data, BigInt64Array.of(16777217n, 5n));
    assert.deepEqual(asNumbers(inputs.get('kinds')!), [0, 0, 1, 1, 0, 0]);
  });

  it('test rows by default, in order, and only as many as asked for', async () => {
    const csv = `a,label\n${Array.from({ length: 10 }, (_, index) => `${index},${index % 2}`).join('\n')}\n`;
    const recipe = { inputs: { '*': { from: 'd.a' } }, labels: { from: 'd.label' }, split: { train: [0, 6], test: [6, 10] } } as const;
    const { dataset, split } = await load(recipe, csv, one, { samples: 3, output: [null, 2] });
    assert.deepEqual([split, dataset.count, dataset.classes], ['test', 3, ['0', '1']]);
    assert.deepEqual(asNumbers((await dataset.inputs(1, 3)).get('x')!), [7, 8]);
    assert.deepEqual(asNumbers((await dataset.labels(0, 3))!), [0, 1, 0]);
    assert.equal((await load(recipe, csv, one, { split: 'train', output: [null, 2] })).dataset.count, 6);
  });

  it('pictures are the stored values, 0 to 1', async () => {
    const { dataset } = await load({ inputs: { '*': { from: 'd.0:12', shape: [3, 4], scale: 7, layout: 'NCHW' } } }, twelve, [{ name: 'x', shape: [null, 1, 3, 4] }]);
    const picture = await dataset.picture!(0);
    assert.deepEqual(picture.shape, [3, 4]);
    assert.ok(Math.abs(asFloat32(picture)[11]! - 1) < 1e-6 && asFloat32(picture)[0] === 0);
  });

  const labelled = { inputs: { '*': { from: 'd.a' } }, labels: { from: 'd.label' } } as const;
  const misfits: readonly (readonly [string, Parameters<typeof load>, RegExp])[] = [
    ['samples of another shape', [{ inputs: { image: { from: 'd.0:12', shape: [3, 4] } } }, twelve, [{ name: 'image', shape: [null, 1, 28, 28] }]],
      /^r\.json: inputs\.image: the array d\.0:12 has samples of 3×4, the model's input image wants 1×28×28\.$/],
    ['an unknown input', [{ inputs: { y: { from: 'd.0' } } }, twelve, one], /^r\.json: inputs\.y: the model has no such input\. Its inputs are x\.$/],
    ['an input that nothing feeds', [{ inputs: { x: { from: 'd.0' } } }, twelve, [...one, { name: 'z', shape: [null] }]], /^r\.json: inputs: nothing feeds the model's input z\.$/],
    ['a label out of range', [labelled, 'a,label\n1,0\n2,1\n3,7\n', one, { output: [null, 3] }], /^r\.json: labels: row 2 of d\.label is 7, but the model has 3 classes, 0 to 2\.$/],
    ['a negative label', [labelled, 'a,label\n1,0\n2,-1\n', one, { output: [null, 3] }], /row 1 of d\.label is -1/],
    ['a split beyond the rows', [{ ...labelled, split: { test: [1, 9] } }, 'a,label\n1,0\n2,1\n', one], /^r\.json: split\.test: it ends at row 9, but there are only 2 rows\.$/],
    ['no number', [labelled, 'a,label\n1,0\n,1\n', one], /^r\.json: inputs\.\*: row 1 of d\.a holds NaN\. Repair that row or leave it out of the split\.$/],
    ['an unknown array', [{ inputs: { '*': { from: 'd.nose' } } }, 'a,label\n1,0\n', one], /^r\.json: inputs\.\*\.from: d\.csv has no array 'nose'\. It has a, label\.$/],
    ['several arrays and none named', [{ inputs: { '*': { from: 'd' } } }, 'a,label\n1,0\n', one], /^r\.json: inputs\.\*\.from: d\.csv has several arrays\. Name one of d\.a, d\.label\.$/],
    ['means for other channels', [{ inputs: { '*': { from: 'd.0:12', shape: [3, 4], mean: [1, 2] } } }, twelve, [{ name: 'x', shape: [null, 1, 3, 4] }]], /mean has 2 numbers, but samples of 1×3×4 have no such channel axis/],
    ['a class beyond oneHot', [{ inputs: { '*': { from: 'd.a', oneHot: 2 } } }, 'a\n1\n2\n', [{ name: 'x', shape: [null, 2] }]], /row 1 of d\.a holds 2, which oneHot 2 has no place for/],
  ];
  for (const [title, parameters, message] of misfits) {
    it(`says: ${title}`, () => assert.rejects(load(...parameters), (error) => {
      assert.ok(error instanceof ParticlizeError, String(error));
      assert.match(error.message, message);
      return true;
    }));
  }

  it('the report counts, and finds what is odd', async () => {
    const csv = `a,label\n${[...Array(8).keys()].map((index) => `${index},0`).join('\n')}\n100,1\n101,1\n,1\n103,5\n`;
    const recipe = recipeOf({ inputs: { '*': { from: 'd.a' } }, labels: { from: 'd.label' }, classes: ['no', 'yes', 'maybe'], split: { train: [0, 9], test: [8, 12] } });
    const report = await dataReport(recipe, filesOf(csv));
    assert.equal(report.rows, 12);
    assert.deepEqual(report.classes, [{ name: 'no', count: 8 }, { name: 'yes', count: 3 }, { name: 'maybe', count: 0 }]);
    const [array] = report.arrays;
    assert.deepEqual([array!.minimum, array!.maximum, array!.badRows], [0, 103, 1]);
    const text = report.findings.map(({ message }) => message).join('\n');
    assert.match(text, /1 rows hold NaN or infinite values; the first is row 10/);
    assert.match(text, /Row 11 of d\.label has the label 5, but there are 3 classes/);
    assert.match(text, /1 rows are in both train and test/);
    assert.match(text, /No sample has the class maybe/);
    assert.match(text, /Its values differ from those of train by/);
    assert.match(text, /Its classes are distributed otherwise/);
  });
});

function load(parts: object, csv: string, inputs: readonly ValueInfo[], options?: LoadOptions): ReturnType<typeof loadDataset> {
  return loadDataset(recipeOf(parts), filesOf(csv), inputs, options);
}

function recipeOf(parts: object): Recipe {
  return parseRecipe(JSON.stringify({ task: 'classification', data: { d: 'd.csv' }, ...parts }), 'r.json');
}

function filesOf(csv: string): DataFiles {
  return { open: (name) => Promise.resolve(memorySource(name, Buffer.from(csv))) };
}
