import assert from 'node:assert/strict';
import { dataReport, type DataReport } from '../../../src/core/data/dataReport';
import { guessRecipe, type GuessedRecipe, type RecipeTarget } from '../../../src/core/data/guessRecipe';
import { loadDataset, type LoadOptions } from '../../../src/core/data/loadDataset';
import { parseRecipe } from '../../../src/core/data/recipe';
import { syntheticProbe } from '../../../src/core/data/syntheticProbe';
import type { ValueInfo } from '../../../src/core/graph/modelGraph';
import { asNumbers } from '../../../src/core/graph/numeric';
import { seededRandom } from '../../../src/core/graph/seededRandom';
import { memorySource } from '../support/memoryFiles';

const one: readonly ValueInfo[] = [{ name: 'x', shape: [null] }];
const pairs: readonly ValueInfo[] = [{ name: 'user', dtype: 'int64', shape: [null] }, { name: 'item', dtype: 'int64', shape: [null] }];

describe('samples', () => {
  const csv = `a,kind\n${Array.from({ length: 100 }, (_, index) => `${index},${index < 80 ? 'much' : 'little'}`).join('\n')}\n`;
  const parts = { task: 'classification', data: { d: 'd.csv' }, inputs: { '*': { from: 'd.a' } }, labels: { from: 'd.kind' } };

  it('shares are drawn by the seed: apart, complete, the same again', async () => {
    const rowsOf = async (split: string, seed: number): Promise<number[]> => {
      const { dataset } = await load({ ...parts, split: { train: 0.7, test: 0.3 }, seed }, { 'd.csv': csv }, one, { split });
      return asNumbers((await dataset.inputs(0, dataset.count)).get('x')!);
    };
    const [train, test] = [await rowsOf('train', 3), await rowsOf('test', 3)];
    assert.deepEqual([train.length, test.length, new Set([...train, ...test]).size], [70, 30, 100]);
    assert.deepEqual(await rowsOf('test', 3), test);
    assert.notDeepEqual(await rowsOf('test', 4), test);
    assert.notDeepEqual(test, [...Array(30).keys()].map((index) => index + 70));
  });

  it('balanced samples have as many of each class', async () => {
    const { dataset, findings } = await load({ ...parts, sample: { count: 30, balance: true, seed: 1 } }, { 'd.csv': csv }, one, { output: [null, 2] });
    const values = asNumbers((await dataset.inputs(0, dataset.count)).get('x')!);
    assert.deepEqual([values.filter((value) => value < 80).length, values.filter((value) => value >= 80).length], [15, 15]);
    assert.deepEqual(findings, []);
    const most = await load({ ...parts, sample: { count: 90, balance: true } }, { 'd.csv': csv }, one, { output: [null, 2] });
    assert.deepEqual([most.dataset.count, most.findings.map(({ message }) => message)], [40, ['The smallest class has 20 samples, so 40 balanced samples are used instead of 90.']]);
  });

  it('class names are put in the order of the recipe; unknown ones are counted', async () => {
    const { dataset } = await load({ ...parts, classes: ['much', 'little'] }, { 'd.csv': csv }, one, { output: [null, 2] });
    assert.deepEqual(asNumbers((await dataset.labels(79, 81))!), [0, 1]);
    await assert.rejects(load({ ...parts, classes: ['much', 'none'] }, { 'd.csv': csv }, one, { output: [null, 2] }), /labels: 20 rows of d\.kind have a label that is not among the classes: 'little'\. Classes are much, none/);
  });

  it('targets are scaled, groups are whole numbers', async () => {
    const data = 'a,t,level\n1,10,2\n2,20,0\n';
    const { dataset } = await load({ task: 'regression', data: { d: 'd.csv' }, inputs: { '*': { from: 'd.a' } }, labels: { from: 'd.t', scale: 0.5, mean: 1, std: 2 }, groups: { from: 'd.level' } }, { 'd.csv': data }, one);
    assert.deepEqual(asNumbers((await dataset.labels(0, 2))!), [2, 4.5]);
    assert.deepEqual(await dataset.groups!(0, 2), Int32Array.of(2, 0));
  });
});

describe('ratings', () => {
  const random = seededRandom(1);
  const rated = new Set(Array.from({ length: 300 }, () => `${Math.floor(random() * 20)},${Math.floor(random() * 60)}`));
  const csv = `user,item,rating\n${[...rated].map((pair, index) => `${pair},${1 + index % 5}`).join('\n')}\n`;
  const parts = { task: 'ranking', data: { ratings: 'r.csv' }, inputs: { user: { from: 'ratings.user' }, item: { from: 'ratings.item' } }, ranking: { negatives: 9, positive: 4, k: 3, seed: 2 } };

  it('a sample is a positive in front of items that the user never rated', async () => {
    const { dataset } = await load(parts, { 'r.csv': csv }, pairs, { samples: 50 });
    assert.deepEqual([dataset.count, dataset.rowsPerSample, dataset.ranking], [50, 10, { k: 3, loss: 'bce' }]);
    const inputs = await dataset.inputs(0, 50);
    const [user, item] = [asNumbers(inputs.get('user')!), asNumbers(inputs.get('item')!)];
    assert.deepEqual([user.length, inputs.get('user')!.dtype, inputs.get('item')!.shape], [500, 'int64', [500]]);
    for (let row = 0; row < 500; row++) {
      assert.equal(user[row], user[row - row % 10]);
      assert.equal(rated.has(`${user[row]},${item[row]}`), row % 10 === 0, `row ${row}`);
    }
    for (let sample = 0; sample < 50; sample++) assert.equal(new Set(item.slice(10 * sample, 10 * sample + 10)).size, 10);
    assert.deepEqual(asNumbers((await dataset.inputs(7, 8)).get('item')!), item.slice(70, 80));
    assert.match(await dataset.caption!(0), /^user \d+, item \d+$/);
  });

  it('says: too few items left, an item beyond the embedding, no rating that high', async () => {
    await assert.rejects(load({ ...parts, ranking: { negatives: 58 } }, { 'r.csv': csv }, pairs), /ranking\.negatives: user \d+ has no rating of only \d+ of the \d+ items, fewer than the 58 negatives\. Take at most \d+/);
    await assert.rejects(load(parts, { 'r.csv': csv }, pairs, { idLimits: new Map([['item', { limit: 40, layer: 'items' }]]) }), /inputs\.item: row \d+ of ratings\.item holds [45]\d, but the embedding items that the model's input item picks from has 40 rows/);
    await assert.rejects(load({ ...parts, ranking: { positive: 6 } }, { 'r.csv': csv }, pairs), /none of \d+ ratings is 6 or more/);
  });

  it('ratings are numbers to be foretold as well', async () => {
    const { dataset } = await load({ ...parts, task: 'regression', ranking: undefined, labels: { from: 'ratings.rating' } }, { 'r.csv': csv }, pairs);
    assert.deepEqual([dataset.rowsPerSample, dataset.count, asNumbers((await dataset.labels(0, 3))!)], [undefined, rated.size, [1, 2, 3]]);
  });
});

describe('the data report finds what is planted', () => {
  const rows = 600;
  const random = seededRandom(9);
  const clean = (): number[][] => Array.from({ length: rows }, (_, row) => [random(), random(), random(), row % 3]);
  const parts = { task: 'classification', data: { d: 'd.csv' }, inputs: { '*': { from: 'd.a:c' } }, labels: { from: 'd.y' }, split: { train: [0, 400], test: [400, 600] } };
  const reportOn = (values: readonly (readonly number[])[], more: object = {}): Promise<DataReport> =>
    dataReport(parseRecipe(JSON.stringify({ ...parts, ...more }), 'r.json'), filesOf({ 'd.csv': `a,b,c,y\n${values.map((row) => row.map((value) => (Number.isNaN(value) ? '' : value)).join(',')).join('\n')}\n` }));
  const drift = (report: DataReport): NonNullable<DataReport['splits'][number]['drift']> => report.splits[1]!.drift!;

  it('nothing in clean data', async () => {
    const report = await reportOn(clean());
    assert.deepEqual(report.findings, []);
    assert.deepEqual([report.duplicates, drift(report).leakedRows, drift(report).inputs[0]!.shifted], [{ rows: 0, otherLabel: 0 }, 0, 0]);
  });

  it('7 repeated rows, 2 with another label; 4 of them leaked', async () => {
    const values = clean();
    for (const [to, from] of [[10, 1], [11, 2], [12, 3]] as const) values[to] = [...values[from]!];
    for (const [to, from] of [[400, 20], [401, 21], [402, 22], [403, 23]] as const) values[to] = [...values[from]!];
    values[10]![3] = 2;
    values[401]![3] = (values[21]![3]! + 1) % 3;
    const report = await reportOn(values);
    assert.deepEqual([report.duplicates, drift(report).leakedRows], [{ rows: 7, otherLabel: 2 }, 4]);
    assert.match(report.findings.map(({ message }) => message).join(' '), /7 rows repeat an earlier row; the first is row 10, which is equal to row 1\. 2 of the repeated rows.* 4 of its 200 rows are also in train \(the first is row 400\)/);
  });

  it('one shifted feature, by its number; values never seen', async () => {
    const values = clean();
    for (let row = 400; row < rows; row++) values[row]![1]! += 0.4;
    const beyond = values.slice(400).filter((row) => row[1]! > Math.max(...values.slice(0, 400).map((other) => other[1]!))).length;
    const [input] = drift(await reportOn(values)).inputs;
    assert.deepEqual([input!.shifted, input!.featuresTested, input!.most[0]!.feature], [1, 3, 1]);
    assert.ok(input!.outsideRows >= beyond && input!.outsideRows <= beyond + 5, `${input!.outsideRows}, planted ${beyond}`);
  });

  it('a class that is missing in one split, values that are missing, an empty split', async () => {
    const values = clean();
    for (let row = 400; row < rows; row++) values[row]![3] = row % 2;
    values[5]![0] = NaN;
    values[5]![1] = NaN;
    values[450]![2] = NaN;
    const report = await reportOn(values, { split: { train: [0, 400], test: [400, 600], late: [700, 800] } });
    assert.deepEqual([report.arrays[0]!.badRows, report.arrays[0]!.badValues, report.splits[1]!.perClass], [2, 3, [100, 100, 0]]);
    const text = report.findings.map(({ message }) => message).join(' ');
    assert.match(text, /2 rows hold NaN or infinite values; the first is row 5/);
    assert.match(text, /The split test has no sample of the class 2/);
    assert.match(text, /The split late has no row/);
  });

  it('a model is not run on them either: NaN and empty splits are said before', async () => {
    const csv = 'a,y\n1,0\n,1\n,0\n';
    const recipe = { ...parts, inputs: { '*': { from: 'd.a' } }, split: { test: [0, 3] } };
    await assert.rejects(load(recipe, { 'd.csv': csv }, one), /inputs\.\*: row 1 of d\.a holds NaN, and 1 more values in use are not finite/);
    await assert.rejects(load({ ...recipe, split: { train: 0.9, test: 0.01 } }, { 'd.csv': csv }, one), /split\.test: a share of 0\.01 of 3 rows is no row at all/);
  });
});

describe('a recipe is guessed from model and data', () => {
  const target = (inputs: readonly ValueInfo[], output: readonly (number | null)[], limits: readonly (readonly [string, number])[] = []): RecipeTarget =>
    ({ inputs, output, idLimits: new Map(limits.map(([name, limit]) => [name, { limit, layer: name }])) });
  const parsed = ({ text }: GuessedRecipe): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;

  it('a table: columns beside each other, labels by their name', async () => {
    const csv = `length,width,species\n${Array.from({ length: 40 }, (_, index) => `${index / 7},${index},${['setosa', 'virginica'][index % 2]}`).join('\n')}\n`;
    const guess = await guessRecipe(['iris.csv'], target([{ name: 'x', dtype: 'float32', shape: [null, 2] }], [null, 2]), filesOf({ 'iris.csv': csv }));
    const recipe = parsed(guess);
    assert.equal(guess.misfit, undefined);
    assert.deepEqual([recipe['inputs'], recipe['labels'], recipe['classes'], recipe['task']], [{ '*': { from: 'iris.length:width' } }, { from: 'iris.species' }, ['setosa', 'virginica'], 'classification']);
    assert.ok(guess.guesses.every(({ why }) => why.length > 10));
  });

  it('text and the size of the vocabulary', async () => {
    const guess = await guessRecipe(['book.txt'], target([{ name: 'ids', dtype: 'int64', shape: [null, 8] }], [null, 8, 9], [['ids', 9]]), filesOf({ 'book.txt': 'abcdefgh '.repeat(20) }));
    assert.equal(guess.misfit, undefined);
    assert.deepEqual([parsed(guess)['task'], parsed(guess)['inputs']], ['nextToken', { '*': { from: 'book', tokenise: 'characters', window: 8 } }]);
  });

  it('ratings, with and without a header', async () => {
    const body = Array.from({ length: 400 }, (_, index) => `${index % 20},${(index * 7 + Math.floor(index / 20)) % 150},${1 + index % 5}`).join('\n');
    for (const [name, text, user] of [['r.csv', `userId,movieId,rating\n${body}\n`, 'r.userId'], ['r.csv', `${body}\n`, 'r.0']] as const) {
      const guess = await guessRecipe([name], target(pairs, [null, 1], [['user', 20], ['item', 150]]), filesOf({ [name]: text }));
      assert.equal(guess.misfit, undefined);
      assert.deepEqual([parsed(guess)['task'], (parsed(guess)['inputs'] as Record<string, { from: string }>)['user']!.from], ['ranking', user]);
      assert.equal((parsed(guess)['ranking'] as { positive: number }).positive, 4);
    }
  });

  it('says what fits nothing', () => assert.rejects(
    guessRecipe(['d.csv'], target([{ name: 'image', dtype: 'float32', shape: [null, 3, 32, 32] }], [null, 10]), filesOf({ 'd.csv': 'a,b\n1,2\n' })),
    /nothing in the data fits: the model's input image wants 3×32×32 of float32, and there are d\.a 1, d\.b 1/,
  ));
});

describe('made-up samples', () => {
  it('are normal numbers and ids within the embedding, the same in any batches, and say that they are made up', async () => {
    const probe = syntheticProbe([{ name: 'x', dtype: 'float32', shape: [null, 500] }, { name: 'ids', dtype: 'int64', shape: [null, null] }], new Map([['ids', { limit: 7, layer: 'e' }]]), { count: 20 });
    const all = await probe.inputs(0, 20);
    const values = asNumbers(all.get('x')!);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
    assert.ok(Math.abs(mean) < 0.03 && Math.abs(deviation - 1) < 0.03, `${mean} ${deviation}`);
    assert.deepEqual([new Set(asNumbers(all.get('ids')!)).size, Math.max(...asNumbers(all.get('ids')!)), probe.synthetic], [7, 6, true]);
    assert.deepEqual(asNumbers((await probe.inputs(5, 6)).get('x')!), values.slice(2500, 3000));
  });
});

function load(parts: object, files: Readonly<Record<string, string>>, inputs: readonly ValueInfo[], options?: LoadOptions): ReturnType<typeof loadDataset> {
  return loadDataset(parseRecipe(JSON.stringify(parts), 'r.json'), filesOf(files), inputs, options);
}

function filesOf(files: Readonly<Record<string, string>>): Parameters<typeof loadDataset>[1] {
  return { open: (name) => Promise.resolve(memorySource(name, Buffer.from(files[name]!))) };
}
