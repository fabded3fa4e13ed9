import assert from 'node:assert';
import { formats } from '../../../src/core/formats/registry';
import { mutate } from '../support/fuzzMutations';
import { fuzz } from '../support/fuzz';
import { seededRandom } from '../support/graphs';

/** A fixed few hundred of what `npm run bench -- fuzz` does with many thousands. */
describe('damaged files: a graph or one sentence that names the place, in every format', function () {
  this.timeout(60_000);

  for (const { id, title } of formats) {
    it(`${title} (${id})`, async function () {
      const { seeds, files, graphs, refused, failures } = await fuzz({ format: id, count: 150 });
      if (seeds === 0) {
        console.log(`      no small file of ${title} is among the fixtures`);
        this.skip();
      }
      const [first] = failures;
      assert.ok(!first, first && `case ${first.index} of ${id} (${first.seed}), ${first.times} times like it: ${first.what}`);
      assert.strictEqual(graphs + refused, files);
      // Damage that nothing notices would test nothing.
      assert.ok(refused > files / 20, `only ${refused} of ${files} were refused`);
    });
  }

  it('damage is the same in every run, and changes files', () => {
    const bytes = Uint8Array.from({ length: 300 }, (_, index) => index);
    let changed = 0;
    for (let seed = 0; seed < 100; seed++) {
      const [one, two] = [mutate(bytes, seededRandom(seed)), mutate(bytes, seededRandom(seed))];
      assert.deepStrictEqual(one, two);
      if (Buffer.compare(one, bytes) !== 0) changed++;
    }
    assert.ok(changed > 90, `${changed} of 100`);
  });
});
