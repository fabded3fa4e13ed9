import assert from 'node:assert/strict';
import { loadParse } from '../../../src/compute/parsers';
import { findDefinitions } from '../../../src/core/source/findDefinitions';
import { linkDefinitions, type LinkableLayer } from '../../../src/core/source/linkDefinitions';
import type { Parse } from '../../../src/core/source/syntaxTree';

describe('source: which layer a definition makes', () => {
  let parse: Parse;
  before(async () => {
    parse = await loadParse(['python']);
  });

  /** 'line: name -> layer confidence' of every link. */
  function link(code: string, layers: readonly LinkableLayer[]): string[] {
    const links = linkDefinitions(findDefinitions(code, 'python', parse), layers);
    for (const { reason } of links) assert.ok(reason.length > 5, reason);
    return links.map(({ definition, layer, confidence }) => {
      const line = code.slice(0, definition.span.start).split('\n').length;
      return `${line} ${layer} ${confidence > 0.8 ? 'sure' : confidence > 0.55 ? 'likely' : 'unsure'}`;
    });
  }

  const net = (...lines: string[]) => ['class Net(nn.Module):', ' def __init__(self):', ...lines.map((line) => `  ${line}`)].join('\n');

  it('knows exporters\' ways to write a name', () => {
    const code = net('self.conv1 = nn.Conv2d(1, 8, 3)', 'self.fc_out = nn.Linear(8, 2)');
    assert.deepEqual(link(code, [{ name: '/conv1/Conv', type: 'Conv', width: 8 }, { name: '/fc_out/Gemm', type: 'Gemm', width: 2 }]), ['3 /conv1/Conv sure', '4 /fc_out/Gemm sure']);
    assert.deepEqual(link(code, [{ name: 'Conv1', type: 'Conv2D', width: 8 }, { name: 'FcOut:0', type: 'Dense', width: 2 }]), ['3 Conv1 sure', '4 FcOut:0 sure']);
    assert.deepEqual(link(code, [{ name: 'backbone.conv1', type: 'Conv', width: 8 }, { name: 'fc_out', type: 'Gemm', width: 2 }]), ['3 backbone.conv1 sure', '4 fc_out sure']);
  });

  it('goes by name where names and order disagree', () => {
    const code = net('self.b = nn.Conv2d(1, 8, 3)', 'self.a = nn.Conv2d(8, 8, 3)');
    assert.deepEqual(link(code, [{ name: 'a', type: 'Conv', width: 8 }, { name: 'b', type: 'Conv', width: 8 }]), ['3 b sure', '4 a sure']);
  });

  it('goes by order, type and size without names, and is never sure', () => {
    const code = 'm = keras.Sequential([layers.Dense(8),\n layers.Conv2D(4, 3),\n layers.Dense(2)])';
    const layers = [{ name: 'd', type: 'Gemm', width: 8 }, { name: 'c', type: 'Conv', width: 4 }, { name: 'e', type: 'Gemm', width: 2 }];
    assert.deepEqual(link(code, layers), ['1 d likely', '2 c likely', '3 e likely']);
    // The first dense layer is not in the model.
    assert.deepEqual(link(code, layers.slice(1)), ['2 c likely', '3 e likely']);
    // Nothing fits.
    assert.deepEqual(link(code, [{ name: 'd', type: 'Gemm', width: 9 }]), []);
  });

  it('is less sure of the order where a name or its neighbours contradict it', () => {
    const confidence = (code: string, names: readonly string[]) =>
      linkDefinitions(findDefinitions(code, 'python', parse), names.map((name) => ({ name, type: 'Dense', width: 8 }))).map((one) => [one.layer, one.confidence]);
    assert.deepEqual(confidence('layers.Dense(8)', ['d']), [['d', 0.8]]);
    assert.deepEqual(confidence('layers.Dense(8, name="other")', ['d']), [['d', 0.6]]);
    assert.deepEqual(confidence('layers.Dense(8, name="a")\nlayers.Dense(8)', ['d', 'a']), [['a', 0.99], ['d', 0.5]]);
  });

  it('is unsure where code and model contradict each other', () => {
    const code = net('self.conv1 = nn.Conv2d(1, 8, 3)', 'self.fc = nn.Linear(10, 2)');
    const tensors = [{ shape: [2, 33] }, { shape: [2] }];
    assert.deepEqual(link(code, [{ name: 'conv1', type: 'Conv', width: 9 }, { name: 'fc', type: 'Gemm', width: 2, tensors }]), ['3 conv1 unsure', '4 fc unsure']);
    assert.deepEqual(link(code, [{ name: 'conv1', type: 'Gemm', width: 8 }]), [], 'another kind of layer');
  });

  it('prefers the class whose other layers fit as well', () => {
    const code = [net('self.conv1 = nn.Conv2d(1, 8, 3)', 'self.fc = nn.Linear(8, 2)').replace('Net', 'Old'), net('self.conv1 = nn.Conv2d(1, 8, 3)', 'self.fc = nn.Linear(9, 3)')].join('\n');
    const layers = [{ name: 'conv1', type: 'Conv', width: 8 }, { name: 'fc', type: 'Gemm', width: 3, tensors: [{ shape: [3, 9] }] }];
    assert.deepEqual(link(code, layers).filter((one) => one.endsWith('sure') && !one.endsWith('unsure')), ['7 conv1 sure', '8 fc sure']);
  });

  it('links a block that is used twice to both of its layers by their paths', () => {
    const code = [
      'class Block(nn.Module):', ' def __init__(self):', '  self.conv = nn.Conv2d(8, 8, 3)',
      'class Net(nn.Module):', ' def __init__(self):', '  self.a = Block()', '  self.b = Block()',
    ].join('\n');
    assert.deepEqual(link(code, [{ name: 'a.conv', type: 'Conv', width: 8 }, { name: 'b.conv', type: 'Conv', width: 8 }]), ['3 a.conv sure', '3 b.conv sure']);
  });
});
