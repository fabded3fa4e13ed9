import assert from 'node:assert/strict';
import { loadParse } from '../../../src/compute/parsers';
import { applyEdits, editSource } from '../../../src/core/source/editSource';
import { findDefinitions } from '../../../src/core/source/findDefinitions';
import { linkDefinitions } from '../../../src/core/source/linkDefinitions';
import type { Parse, SyntaxTree } from '../../../src/core/source/syntaxTree';
import { changesOf, layersOf, type Layout } from './styles/style';

describe('source: edits that are safe, and those that are not', () => {
  let parse: Parse;
  before(async () => {
    parse = await loadParse(['python']);
  });

  function prune(code: string, model: string, widths: Record<string, number>, layout: Layout = 'first', port = parse) {
    const links = linkDefinitions(findDefinitions(code, 'python', parse), layersOf(model, layout));
    const { edits, manual } = editSource(code, 'python', port, links, changesOf(model, widths, layout));
    return { text: applyEdits(code, edits), reasons: manual.map(({ span, reason }) => `${code.slice(span.start, span.end)}: ${reason}`) };
  }

  it('writes a list for the layers of a loop that come to differ', () => {
    const code = 'for i in range(2):\n  model.add(layers.Dense(8))\n';
    const { text, reasons } = prune(code, 'dense:dense:4>8', { dense: 5 }, 'last');
    assert.equal(text, 'widths = [5, 8]\nfor i in range(2):\n  model.add(layers.Dense(widths[i]))\n');
    assert.deepEqual(reasons, []);
  });

  const folded = (width: string) => `C = 16\nclass N(nn.Module):\n def __init__(self):\n  self.conv1 = nn.Conv2d(1, ${width}, 3)\n  self.bn1 = nn.BatchNorm2d(${width})\n`;

  it('names a normalisation that the model has folded away', () => {
    const { text, reasons } = prune(folded('16'), 'conv1:conv:1>16', { conv1: 9 });
    assert.equal(text, folded('16').replace('(1, 16', '(1, 9'));
    assert.deepEqual(reasons, ['16: bn1 is not a layer of the model; it seems to follow conv1, whose width becomes 9']);
  });

  it('lets it follow a constant that it shares', () => {
    const { text, reasons } = prune(folded('C'), 'conv1:conv:1>16', { conv1: 9 });
    assert.equal(text, folded('C').replace('C = 16', 'C = 9'));
    assert.deepEqual(reasons, []);
  });

  it('offers no edit after which the file reads otherwise', () => {
    const code = 'x = layers.Dense(8, name="a")\ny = layers.Dense(4, name="b")\n';
    const model = 'a:dense:3>8 b:dense:8>4';
    const misread: Parse = (text, language) => parse(text === code ? text : text.replace('Dense(5', 'Dense(6'), language);
    const wrong = prune(code, model, { a: 5, b: 2 }, 'last', misread);
    assert.equal(wrong.text, code.replace('Dense(4', 'Dense(2'));
    assert.deepEqual(wrong.reasons, ['8: a: 8 → 5 neurons: write 5 here; the edited file would not have this size']);

    const broken: Parse = (text, language): SyntaxTree => {
      const tree = parse(text, language);
      const error = { type: 'ERROR', start: 0, end: 0, missing: false, children: [] };
      return text === code ? tree : { ...tree, root: { ...tree.root, children: [...tree.root.children, error] } };
    };
    const unreadable = prune(code, model, { a: 5 }, 'last', broken);
    assert.equal(unreadable.text, code);
    assert.match(unreadable.reasons[0]!, /could not be read again/);
  });

  it('does nothing when nothing changes', () => {
    assert.deepEqual(prune(folded('16'), 'conv1:conv:1>16', {}), { text: folded('16'), reasons: [] });
  });
});

describe('source: what a size is worth', () => {
  let parse: Parse;
  before(async () => {
    parse = await loadParse(['python', 'javascript']);
  });

  /** The value of the one layer's width, or why it has none. */
  function worth(code: string): number | string | undefined {
    const [definition] = findDefinitions(code, 'python', parse);
    const size = definition?.sizes[0];
    return size?.value ?? size?.reason;
  }

  const values: readonly (readonly [code: string, value: number])[] = [
    ['layers.Dense(2 ** 3 + 7 // 2 - -1)', 12],
    ['layers.Dense(1_000 % 7)', 6],
    ['layers.Dense(0x10 >> 1)', 8],
    ['layers.Dense(int(16 * 0.75))', 12],
    ['layers.Dense(max(3, len([1, 2, 3, 4])))', 4],
    ['w = 16\nlayers.Dense(w)\nw = 32', 16],
    ['w = 16\nw = w * 2\nlayers.Dense(w)', 32],
    ['w = 16\nclass A:\n  w = 8\n  def f(self):\n    layers.Dense(w)', 16],
    ['class A:\n  w = 8\n  def f(self):\n    layers.Dense(self.w)', 8],
    ['class A:\n  w = 8\nclass B(A):\n  def f(self):\n    layers.Dense(self.w)', 8],
    ['def f(u=4):\n  layers.Dense(u)\nf(**{"u": 5})', 5],
    ['def f(u=4):\n  layers.Dense(u)\nf(*[6])', 6],
    ['def f(u=4):\n  layers.Dense(u)\nf(7)\nf(7)', 7],
    ['c = SimpleNamespace(w=9)\nlayers.Dense(c.w)', 9],
  ];
  for (const [code, value] of values) it(`${JSON.stringify(code)} is ${value}`, () => assert.equal(worth(code), value));

  const unknowns: readonly (readonly [code: string, reason: RegExp])[] = [
    ['w = 16\nif x:\n  w = 32\nlayers.Dense(w)', /"w" is set in more than one place/],
    ['w = 16\nw += 1\nlayers.Dense(w)', /"w" changes/],
    ['def f(u=4):\n  layers.Dense(u)\nf(*args)', /passes "u" in a way that cannot be followed/],
    ['def f(u=4):\n  layers.Dense(u)\nf(7)\nf(8)', /given different values by 2 calls/],
    ['layers.Dense(read())', /result of a call/],
    ['layers.Dense(w)', /"w" is not defined in this file/],
    ['layers.Dense(1 / 0)', /not followed/],
  ];
  for (const [code, reason] of unknowns) it(`${JSON.stringify(code)} has no value`, () => assert.match(String(worth(code)), reason));

  it('names the other uses of a constant, and not the places that hand it on', () => {
    const code = 'W = 8\ndef f(u):\n  self.k = u\n  return layers.Dense(u)\nf(W)\nprint(W + 1)\n';
    const [size] = findDefinitions(code, 'python', parse)[0]!.sizes;
    assert.deepEqual(size?.sharedWith, [{ start: code.indexOf('W + 1'), end: code.indexOf('W + 1') + 1 }]);
    assert.deepEqual(size?.literal, { start: 4, end: 5 });
  });
});
