import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { encode as encodePng } from 'fast-png';
import { dataFiles } from '../../../src/compute/recipeFiles';
import { decodePicture } from '../../../src/core/data/decodePicture';
import { loadDataset, type LoadOptions } from '../../../src/core/data/loadDataset';
import { parseRecipe } from '../../../src/core/data/recipe';
import type { ValueInfo } from '../../../src/core/graph/modelGraph';
import { asNumbers } from '../../../src/core/graph/numeric';
import { memorySource } from '../support/memoryFiles';

const folder = path.join(__dirname, '../../fixtures/data');
const text = JSON.parse(fs.readFileSync(path.join(folder, 'text/expected.json'), 'utf8')) as Readonly<Record<'characters' | 'words' | 'bpe' | 'wordpiece', number[]>> & { alphabet: string[] };
const ids = (window: number): readonly ValueInfo[] => [{ name: 'x', dtype: 'int64', shape: [null, window] }];

describe('text', () => {
  for (const [tokenise, tokens] of [['characters', text.characters], ['words', text.words], ['text/bpe.tokenizer.json', text.bpe], ['text/wordpiece.tokenizer.json', text.wordpiece]] as const) {
    it(`${tokenise}: Python's tokens, in windows, with the next token at each position`, async () => {
      const recipe = { task: 'nextToken', data: { text: 'text/text.txt' }, inputs: { '*': { from: 'text', tokenise, window: 5, stride: 3 } } };
      const { dataset } = await load(recipe, ids(5), { output: [null, 5, 300] });
      assert.equal(dataset.count, Math.floor((tokens.length - 6) / 3) + 1);
      for (const at of [0, 7, dataset.count - 1]) {
        assert.deepEqual(asNumbers((await dataset.inputs(at, at + 1)).get('x')!), tokens.slice(3 * at, 3 * at + 5));
        assert.deepEqual(asNumbers((await dataset.labels(at, at + 1))!), tokens.slice(3 * at + 1, 3 * at + 6));
      }
    });
  }

  it('one answer a window is the token behind it; shares are consecutive', async () => {
    const recipe = { task: 'nextToken', data: { text: 'text/text.txt' }, inputs: { '*': { from: 'text', tokenise: 'characters', window: 4, stride: 1 } }, split: { train: 0.75, test: 0.25 } };
    const { dataset, split } = await load(recipe, ids(4), { output: [null, 22] });
    const all = text.characters.length - 4;
    const first = Math.round(0.75 * all);
    assert.deepEqual([split, dataset.count], ['test', all - first]);
    assert.deepEqual(asNumbers((await dataset.inputs(0, 1)).get('x')!), text.characters.slice(first, first + 4));
    assert.deepEqual(asNumbers((await dataset.labels(0, 1))!), [text.characters[first + 4]]);
    assert.deepEqual(await dataset.tokens!(0), text.characters.slice(first, first + 4).map((number) => text.alphabet[number]));
  });

  it('lines are filled up or cut, their labels are class names', async () => {
    const recipe = {
      task: 'classification', data: { lines: 'text/lines.jsonl' }, inputs: { '*': { from: 'lines.text', tokenise: 'words', window: 8 } },
      labels: { from: 'lines.label' }, classes: ['dog', 'cat'],
    };
    const { dataset, findings } = await load(recipe, ids(8), { output: [null, 2] });
    assert.deepEqual(await dataset.tokens!(0), ['the', 'cat', 'sat', 'on', 'the', 'mat', '.', '<pad>']);
    assert.equal((await dataset.tokens!(1)).includes('<pad>'), false);
    assert.deepEqual(asNumbers((await dataset.labels(0, 2))!), [1, 0]);
    assert.match(findings.map(({ message }) => message).join(), /3 of 6 lines are longer than the window of 8 tokens and were cut/);
  });

  it('unseen characters are counted and mapped', async () => {
    const files = { 'v.json': JSON.stringify(['?', 'a', 'b']), 't.txt': 'abcabcz' };
    const recipe = { task: 'nextToken', data: { t: 't.txt' }, inputs: { '*': { from: 't', tokenise: 'characters', vocabulary: 'v.json', window: 6, unknown: '?' } } };
    const { dataset, findings } = await load(recipe, ids(6), { output: [null, 3] }, files);
    assert.deepEqual(asNumbers((await dataset.inputs(0, 1)).get('x')!), [1, 2, 0, 1, 2, 0]);
    assert.match(findings[0]!.message, /^3 tokens \(2 different\) are not in the vocabulary: "c" 2 times, "z" 1 times; \? stands for them\.$/);
  });

  const misfits: readonly (readonly [string, object, LoadOptions, RegExp])[] = [
    ['a token beyond the embedding', { window: 5 }, { output: [null, 22], idLimits: new Map([['x', { limit: 20, layer: 'embed' }]]) }, /inputs\.\*: row 0 of text holds 20, but the embedding embed that the model's input x picks from has 20 rows, 0 to 19/],
    ['a token beyond the outputs', { window: 5 }, { output: [null, 20] }, /labels: sample \d+ has the token 2\d as its label, but the model's output has 20 tokens, 0 to 19/],
    ['a window longer than the text', { window: 500 }, { output: [null, 22] }, /inputs\.\*\.window: the text has \d+ tokens, too few for a window of 500 and the 1 behind it/],
    ['a window that the model does not take', { window: 6 }, { output: [null, 22] }, /the array text has samples of 6, the model's input x wants 5/],
  ];
  for (const [title, steps, options, message] of misfits) {
    it(`says: ${title}`, () => assert.rejects(load({ task: 'nextToken', data: { text: 'text/text.txt' }, inputs: { '*': { from: 'text', tokenise: 'characters', ...steps } } }, ids(5), options), message));
  }
});

describe('pictures', () => {
  const known = JSON.parse(fs.readFileSync(path.join(folder, 'photos.json'), 'utf8')) as { files: string[]; resized: number[][][][]; grey: number[][][] };
  const recipe = (steps: object): object => ({ task: 'classification', data: { photos: 'photos/' }, inputs: { '*': { from: 'photos', ...steps } }, labels: { from: 'photos.class' } });

  it('PNG of every kind and JPEG, in Pillow\'s sizes and colours', async () => {
    const { dataset } = await load(recipe({ resize: [5, 6], channels: 3, layout: 'NHWC' }), [{ name: 'x', shape: [null, 5, 6, 3] }], { output: [null, 2] });
    const values = asNumbers((await dataset.inputs(0, 7)).get('x')!);
    const wanted = known.files.map((_, index) => known.resized[index]!.flat(2)).flat();
    const worst = Math.max(...values.map((value, index) => Math.abs(value - wanted[index]!)));
    // JPEG decoders differ by a step or two.
    assert.ok(values.length === 7 * 90 && worst <= 3, String(worst));
    const exact = values.slice(0, 6 * 90).filter((value, index) => Math.abs(value - wanted[index]!) > 1).length;
    assert.equal(exact, 0);
    assert.deepEqual([dataset.classes, asNumbers((await dataset.labels(0, 7))!)], [['cats', 'dogs'], [0, 0, 0, 1, 1, 1, 1]]);
  });

  it('grey, and larger than the file', async () => {
    const { dataset } = await load(recipe({ resize: [20, 24], channels: 1, layout: 'NCHW' }), [{ name: 'x', shape: [null, 1, 20, 24] }], { output: [null, 2] });
    const values = asNumbers((await dataset.inputs(0, 7)).get('x')!);
    const wanted = known.grey.flat(2);
    assert.ok(Math.max(...values.map((value, index) => Math.abs(value - wanted[index]!))) <= 2);
    assert.deepEqual((await dataset.picture!(0)).shape, [20, 24]);
  });

  it('says: pictures of different sizes and no size in the recipe', () => assert.rejects(
    load(recipe({ channels: 3, layout: 'NHWC' }), [{ name: 'x', shape: [null, null, null, 3] }], { output: [null, 2] }), /photos: cats\/1\.png: it has 10×14 pixels, but cats\/0\.png has 9×13\. Say in the recipe/,
  ));

  it('unreadable ones are counted, named and left out', async () => {
    const good = encodePng({ width: 2, height: 2, channels: 1, data: new Uint8Array([1, 2, 3, 4]) });
    const files = { 'p/a/1.png': good, 'p/a/2.png': good.slice(0, 40), 'p/b/3.jpg': Buffer.from('no picture'), 'p/b/4.png': good };
    const { dataset, findings } = await load({ ...recipe({}), data: { photos: 'p' } }, [{ name: 'x', shape: [null, 2, 2] }], { output: [null, 2] }, files);
    assert.deepEqual([dataset.count, asNumbers((await dataset.labels(0, 2))!)], [2, [0, 1]]);
    assert.match(findings.map(({ message }) => message).join(), /2 of 4 pictures cannot be read and are left out; the first is a\/2\.png/);
  });

  it('a picture that claims 60 000 × 60 000 pixels is refused by its header', () => {
    const bomb = Uint8Array.from(encodePng({ width: 1, height: 1, channels: 1, data: new Uint8Array(1) }));
    new DataView(bomb.buffer).setUint32(16, 60_000);
    new DataView(bomb.buffer).setUint32(20, 60_000);
    assert.throws(() => decodePicture(bomb), /its header says 60000×60000 pixels, more than 50 million/);
  });
});

function load(parts: object, inputs: readonly ValueInfo[], options: LoadOptions, memory?: Readonly<Record<string, Uint8Array | string>>): ReturnType<typeof loadDataset> {
  const files = memory ? {
    open: (name: string) => Promise.resolve(memorySource(name, Buffer.from(memory[name]!))),
    list: (name: string) => {
      const inside = Object.keys(memory).filter((file) => file.startsWith(`${name}/`)).map((file) => file.slice(name.length + 1));
      return Promise.resolve(inside.length ? inside.sort() : undefined);
    },
  } : dataFiles('r.json', folder);
  return loadDataset(parseRecipe(JSON.stringify(parts), 'r.json'), files, inputs, options);
}
