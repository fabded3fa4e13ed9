import assert from 'node:assert/strict';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs';
import { differentiate } from '../../../src/core/graph/differentiate';
import type { Engine } from '../../../src/core/graph/engine';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { asFloat32, asNumbers } from '../../../src/core/graph/numeric';
import type { NdArray } from '../../../src/core/graph/tensor';
import { createEngine } from '../../../src/engines/registry';
import { LoweringContext } from '../../../src/engines/tfjs/loweringContext';
import { familyOfNode, loweringOf } from '../../../src/engines/tfjs/lowerings/registry';
import { inOrder, tfData, tfType, type TfModule, type Value } from '../../../src/engines/tfjs/value';
import { relativeError, seededRandom } from '../support/graphs';
import { feedsOf, valuesOf } from './gradientCases';
import { graphOfCase, opCases, titleOf, withOperands } from './opCases';

const common = [
  'Conv', 'ConvTranspose', 'Gemm', 'MatMul', 'BatchNormalization', 'LayerNormalization', 'MaxPool', 'AveragePool', 'GlobalAveragePool', 'Softmax', 'LogSoftmax',
  'Relu', 'Sigmoid', 'Tanh', 'Gelu', 'Add', 'Mul', 'Div', 'Pow', 'Concat', 'Reshape', 'Transpose', 'Gather', 'Pad', 'ReduceSum', 'ReduceMean', 'Resize',
];

/** Steps, which TensorFlow.js gives other slopes at their edges or none. */
const flat = new Set(['Sign', 'Floor', 'Ceil', 'Round', 'Hardmax', 'Dropout', 'ArgMax', 'ArgMin']);

/**
 * TensorFlow.js differentiates its own lowering of each operator; nothing of our gradient rules takes part. What it cannot
 * differentiate (dilated convolutions, cubic resizing) is left out.
 */
describe('gradients equal those of TensorFlow.js', function () {
  this.timeout(120_000);
  let ort: Engine;
  let backend: string;

  before(async () => {
    ort = await createEngine('ort-native', { threads: 1 });
    backend = tf.getBackend();
    assert.ok(await tf.setBackend('cpu'));
  });

  after(async () => {
    if (backend) await tf.setBackend(backend);
  });

  const byOp = new Map<string, typeof opCases>();
  for (const one of opCases) {
    const real = one.outputs[0]?.dtype === 'float32' && one.outputs.length === 1 && one.inputs.some((input) => input?.dtype === 'float32' && !input.data);
    if (real && !flat.has(one.op) && familyOfNode({ op: one.op, domain: '', name: '', inputs: [], outputs: [], attributes: {}, layer: '' })) byOp.set(one.op, [...byOp.get(one.op) ?? [], one]);
  }

  it('for most operators', () => {
    assert.ok(byOp.size >= 50, `${byOp.size} operators`);
    assert.deepEqual(common.filter((op) => !byOp.has(op)), []);
  });

  for (const [op, cases] of byOp) {
    it(`${op} (${cases.length} variants)`, async function () {
      let compared = 0;
      for (const [index, one] of cases.entries()) {
        const graph = await graphOfCase(withOperands(one));
        const feeds = feedsOf(graph, index + 1, valuesOf(op));
        const expected = await theirs(graph, feeds, one.outputs[0]!.shape);
        if (!expected) continue;
        const names = [...expected.keys()];
        const made = await differentiate(graph, { of: 'o0', withRespectTo: names, seed: 'incoming' });
        const program = await ort.compile(made.graph, [...feeds.keys(), made.seed!], [...made.gradients.values()]);
        const results = await program.run(new Map([...feeds, [made.seed!, seedOf(one.outputs[0]!.shape)]]));
        await program.dispose();
        for (const name of names) {
          const wanted = expected.get(name)!;
          // Where terms cancel out (a layer of two elements), rounding is measured by the terms.
          const error = relativeError([...asFloat32(results.get(made.gradients.get(name)!)!), 0], [...wanted, 0]) * Math.min(1, 10 * Math.max(...wanted.map(Math.abs)));
          assert.ok(error <= 1e-4, `${titleOf(one)}: gradient of ${name}: relative error ${error}`);
        }
        compared++;
      }
      if (!compared) assert.ok(!common.includes(op), `TensorFlow.js differentiates no variant of ${op}`);
      if (!compared) this.skip();
    });
  }
});

function seedOf(shape: readonly number[]): NdArray {
  const random = seededRandom(9);
  return { dtype: 'float32', shape, data: Float32Array.from({ length: shape.reduce((all, size) => all * size, 1) }, () => random() * 2 - 1) };
}

/** Gradients of the float inputs by TensorFlow.js; undefined when it has none. */
async function theirs(graph: ModelGraph, feeds: ReadonlyMap<string, NdArray>, shape: readonly number[]): Promise<Map<string, Float32Array> | undefined> {
  const node = graph.nodes[graph.nodes.length - 1]!;
  const lowering = loweringOf(node);
  const real = [...feeds].filter(([, { dtype }]) => dtype === 'float32');
  if (!lowering || graph.nodes.length > 1) return undefined;
  const held = await Promise.all([...graph.tensors.values()].map(async (tensor) => [tensor.name, await tensor.read()] as const));
  const found = new Map<string, Float32Array>();
  tf.tidy(() => {
    const constants = held.map(([name, array]) => [name, valueOf(array)] as const);
    const run = (...given: tf.Tensor[]): tf.Tensor => {
      const values = new Map<string, Value>(constants);
      for (const [name, array] of feeds) if (array.dtype !== 'float32') values.set(name, valueOf(array));
      real.forEach(([name], index) => values.set(name, { tensor: given[index]!, order: inOrder(given[index]!.rank), dtype: 'float32' }));
      const context = new LoweringContext(tf as unknown as TfModule, node, graph.opset, node.inputs.map((name) => (name ? values.get(name) : undefined)));
      const result = lowering(context);
      const value = (Array.isArray(result) ? result[0] : result) as Value;
      return tf.transpose(value.tensor, value.order.map((_, axis) => value.order.indexOf(axis)));
    };
    try {
      const seed = tf.tensor(seedOf(shape).data as Float32Array, [...shape]);
      const gradients = tf.grads(run)(real.map(([, array]) => tf.tensor(array.data as Float32Array, [...array.shape])), seed);
      real.forEach(([name], index) => found.set(name, gradients[index]!.dataSync() as Float32Array));
    } catch (error) {
      if (/gradient|not yet supported|dilation|backprop|must be|at least one tensor/i.test((error as Error).message)) return;
      throw error;
    }
  });
  return found.size ? found : undefined;
}

function valueOf(array: NdArray): Value {
  const tensor = tf.tensor(tfData(array, asFloat32), [...array.shape], tfType(array.dtype));
  return { tensor, order: inOrder(tensor.rank), dtype: array.dtype, numbers: asNumbers(array) };
}
