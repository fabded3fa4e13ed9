import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { loadParse } from '../../../src/compute/parsers';
import type { Parse } from '../../../src/core/source/syntaxTree';
import { seededRandom } from '../support/graphs';

describe('source: a file while it is edited', () => {
  let parse: Parse;
  before(async () => {
    parse = await loadParse(['python']);
  });

  it('is read after each of 150 edits as if it were read anew', () => {
    const random = seededRandom(11);
    const pieces = ['x = 1\n', '(', ')', '"', 'class A:\n  y = [1, 2]\n', '    ', '\n', 'größe', ':', 'nn.Linear(3, 4)', '"""', '#'];
    let text = readFileSync(path.resolve('media', 'samples', 'digits', 'digits_torch.py'), 'utf8');
    for (let round = 0; round < 150; round++) {
      const at = Math.floor(random() * text.length);
      const cut = random() < 0.4 ? Math.floor(random() * 12) : 0;
      text = text.slice(0, at) + (random() < 0.7 ? pieces[Math.floor(random() * pieces.length)] : '') + text.slice(at + cut);
      const after = parse(text, 'python');
      // Nothing in common with it: the next one is read from the beginning.
      parse('', 'python');
      const anew = parse(text, 'python');
      assert.deepEqual(after, anew, `after edit ${round}`);
      assert.equal(after.root.end, text.length);
    }
  });

  it('keeps what stands before an edit', () => {
    const text = 'a = 1\nb = 2\nc = 3\n';
    const before = parse(text, 'python');
    const after = parse(text.replace('c = 3', 'c = 34'), 'python');
    assert.equal(after.root.children[0], before.root.children[0]);
    assert.notEqual(after.root.children[2], before.root.children[2]);
  });
});
