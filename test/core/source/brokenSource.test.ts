import assert from 'node:assert/strict';
import { loadParse } from '../../../src/compute/parsers';
import { applyEdits, editSource } from '../../../src/core/source/editSource';
import { findDefinitions } from '../../../src/core/source/findDefinitions';
import { linkDefinitions } from '../../../src/core/source/linkDefinitions';
import type { Language, Parse } from '../../../src/core/source/syntaxTree';
import { kerasStyles } from './styles/kerasStyles';
import { pytorchStyles } from './styles/pytorchStyles';
import { changesOf, layersOf } from './styles/style';
import { tfjsStyles } from './styles/tfjsStyles';

describe('source: code as it is while somebody types', () => {
  let parse: Parse;
  before(async () => {
    parse = await loadParse(['python', 'javascript', 'typescript', 'tsx']);
  });

  const names = (code: string, language: Language = 'python') => findDefinitions(code, language, parse).map((one) => one.name ?? one.type);

  it('finds the layers around a syntax error', () => {
    const code = 'from torch import nn\nclass Net(nn.Module):\n    def __init__(self):\n        self.a = nn.Linear(4, 8)\n        self.b = nn.Linear(8,\n        self.c = nn.Linear(8, 2)\n';
    assert.ok(names(code).includes('a'));
    assert.ok(names(code.replace('nn.Linear(8,\n', 'nn.\n')).includes('c'));
    const script = "const m = tf.sequential();\nm.add(tf.layers.dense({ name: 'a', units: 4 }));\nm.add(tf.layers.dense({ name: 'b', units: }));\nif (x {\nm.add(tf.layers.dense({ name: 'c', units: 2 }));";
    const found = names(script, 'typescript');
    assert.ok(found.includes('a') && found.includes('c'), String(found));
  });

  it('edits what it can read beside a syntax error', () => {
    const code = 'from keras import layers\nx = layers.Dense(8, name="a")\ndef broken(:\n    pass\n';
    const definitions = findDefinitions(code, 'python', parse);
    const layers = layersOf('a:dense:4>8', 'last');
    const { edits, manual } = editSource(code, 'python', parse, linkDefinitions(definitions, layers), changesOf('a:dense:4>8', { a: 5 }, 'last'));
    assert.deepEqual(manual, []);
    assert.equal(applyEdits(code, edits), code.replace('Dense(8', 'Dense(5'));
  });

  it('reads every beginning of every style without failing', function () {
    this.timeout(60_000);
    for (const { code, language } of [...kerasStyles.slice(0, 3), ...pytorchStyles.slice(4, 8), ...tfjsStyles.slice(2, 6)]) {
      let most = 0;
      for (let end = 0; end <= code.length; end += 7) {
        const found = findDefinitions(code.slice(0, end), language, parse);
        for (const { span } of found) assert.ok(span.start < span.end && span.end <= end);
        most = Math.max(most, found.length);
      }
      assert.ok(most >= findDefinitions(code, language, parse).length - 1, 'layers are there before the code is complete');
    }
  });

  it('goes in no circle and overflows no stack', function () {
    this.timeout(30_000);
    assert.deepEqual(names('a = b\nb = a\nlayers.Dense(a, name="x")'), ['x']);
    assert.deepEqual(names('def f(n=1):\n  return f(n)\nlayers.Dense(f(2), name="x")\ndef g(w):\n  layers.Dense(w, name="y")\n  g(w)\n'), ['x', 'y']);
    const deep = `${'['.repeat(5000)}layers.Dense(4)${']'.repeat(5000)}\nlayers.Dense(5, name="after")`;
    assert.ok(names(deep).includes('after'));
    const sum = `x = ${Array.from({ length: 5000 }, () => '1').join(' + ')}\nlayers.Dense(x, name="after")`;
    assert.ok(names(sum).includes('after'));
    assert.ok(names(`${'{'.repeat(3000)} a`, 'javascript').length === 0);
    assert.deepEqual(names('class A(A):\n  def m(self):\n    layers.Dense(self.q, name="z")\nclass B(C): pass\nclass C(B): pass\nB()'), ['z']);
  });

  it('is not held up by definitions that double with every line', function () {
    this.timeout(30_000);
    const doubling = (line: (name: string, before: string) => string, language: Language, last: string) =>
      names([...Array.from({ length: 60 }, (_, index) => line(`a${index + 1}`, `a${index}`)), last].join('\n'), language);
    assert.deepEqual(doubling((name, before) => `${name} = ${before} + ${before}`, 'python', 'layers.Dense(a60, name="x")'), ['x']);
    assert.deepEqual(doubling((name, before) => `${name} = ${before}[${before}]`, 'python', 'layers.Dense(a60, name="x")'), ['x']);
    assert.deepEqual(doubling((name, before) => `${name} = [${before}, ${before}]`, 'python', 'layers.Dense(a60, name="x")\nprint(a60)'), ['x']);
    assert.deepEqual(doubling((name, before) => `${name} = nn.Sequential(${before}, ${before})`, 'python', 'b = nn.Linear(1, 2)'), ['b']);
    assert.deepEqual(doubling((name, before) => `const ${name} = { ...${before}, ...${before} };`, 'javascript', "tf.layers.dense({ name: 'x', ...a60 })"), ['x']);
    assert.deepEqual(names('let a = 1; a = { ...a }; function f() { return tf.layers.dense(a); } a = Object.freeze(a);', 'javascript').length, 1);
    assert.deepEqual(names('def f():\n  nn.Sequential(a)\n  layers.Dense(a["x"])\na = OrderedDict(a)\n').length, 1);
  });

  it('does not take other things for layers', () => {
    const code = [
      'from torch import nn', 'import torch.nn.functional as F', 'import numpy as np', 'from sklearn import layers as other',
      'loss = nn.CrossEntropyLoss()', 'p = nn.Parameter(torch.zeros(3))', 'nn.init.zeros_(p)', 'y = F.linear(x, w)', 'other.Dense(3)', 'np.Dense(3)',
      'class Conv2D: pass', 'Conv2D(3)', 'keras.Input((3,))', 'keras.layers.Input((3,))', 'text = "nn.Linear(1, 2)"  # nn.Linear(1, 2)',
    ].join('\n');
    assert.deepEqual(names(code), []);
    assert.deepEqual(names("const tf = { layers: { dense: f } };\ntf.layers.dense({ units: 3 }); // tf.layers.dense({})\nfoo.layers.dense({}); tf.tensor([1])", 'javascript'), []);
  });

  it('says that the file has changed since it was linked', () => {
    const code = 'x = layers.Dense(8, name="a")\n';
    const links = linkDefinitions(findDefinitions(code, 'python', parse), layersOf('a:dense:4>8', 'last'));
    const { edits, manual } = editSource(`# new line\n${code}`, 'python', parse, links, changesOf('a:dense:4>8', { a: 5 }, 'last'));
    assert.deepEqual(edits, []);
    assert.match(manual[0]!.reason, /definition of a is not where it was/);
  });

  it('does not edit a size that is not the model\'s', () => {
    const code = 'x = layers.Dense(9, name="a")\n';
    const links = linkDefinitions(findDefinitions(code, 'python', parse), layersOf('a:dense:4>8', 'last'));
    const { edits, manual } = editSource(code, 'python', parse, links, changesOf('a:dense:4>8', { a: 5 }, 'last'));
    assert.deepEqual(edits, []);
    assert.match(manual[0]!.reason, /the code says units is 9, which is not the size that the model has/);
  });

  it('finds every layer of a long file', function () {
    this.timeout(60_000);
    const lines = Array.from({ length: 20_000 }, (_, index) => (index % 100 === 0 ? `l${index} = layers.Dense(${index + 1}, name="l${index}")` : `value_${index} = compute(${index}, value_${index - 1})`));
    const found = findDefinitions(lines.join('\n'), 'python', parse);
    assert.equal(found.length, 200);
    assert.equal(found.at(-1)?.sizes[0]?.value, 19_901);
  });
});
