import assert from 'node:assert/strict';
import { int, string } from '../../../src/core/graph/attributes';
import { differentiate } from '../../../src/core/graph/differentiate';
import type { Engine } from '../../../src/core/graph/engine';
import type { Attribute, ModelGraph, Shape } from '../../../src/core/graph/modelGraph';
import { createOrtEngine } from '../../../src/engines/ort/ortEngine';
import { graphOf, node } from '../support/graphs';
import { feedsOf, slopes } from './gradientCases';

const [steps, samples, features, hidden] = [4, 3, 5, 2];

interface Variant {
  readonly op: 'LSTM' | 'GRU' | 'RNN';
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly bias?: boolean;
  readonly states?: boolean;
  readonly peepholes?: boolean;
  readonly lengths?: readonly number[];
}

const variants: readonly Variant[] = [
  { op: 'LSTM', bias: true },
  { op: 'LSTM', attributes: { direction: string('reverse') }, states: true },
  { op: 'LSTM', attributes: { direction: string('bidirectional') }, bias: true, states: true, peepholes: true },
  { op: 'LSTM', attributes: { input_forget: int(1) }, bias: true },
  { op: 'LSTM', bias: true, lengths: [4, 2, 1], states: true },
  { op: 'LSTM', attributes: { direction: string('bidirectional') }, bias: true, states: true },
  { op: 'GRU', bias: true },
  { op: 'GRU', attributes: { linear_before_reset: int(1) }, bias: true, states: true },
  { op: 'GRU', attributes: { direction: string('bidirectional'), linear_before_reset: int(1) }, states: true },
  { op: 'GRU', attributes: { direction: string('bidirectional') }, bias: true },
  { op: 'GRU', attributes: { direction: string('reverse'), linear_before_reset: int(1) }, bias: true },
  { op: 'RNN', bias: true, states: true },
  { op: 'RNN', attributes: { direction: string('bidirectional'), activations: { type: 'strings', value: ['Relu', 'Relu'] } }, bias: true, states: true },
  { op: 'RNN', attributes: { direction: string('bidirectional'), activations: { type: 'strings', value: ['Sigmoid', 'Tanh'] } } },
];

function graphOfVariant({ op, attributes = {}, bias, states, peepholes, lengths }: Variant, batch: Shape[number] = samples, time: Shape[number] = steps): Promise<ModelGraph> {
  const way = attributes['direction'];
  const count = way?.type === 'string' && way.value === 'bidirectional' ? 2 : 1;
  const gates = { LSTM: 4, GRU: 3, RNN: 1 }[op];
  const inputs: Record<string, Shape> = {
    x: [time, batch, features], w: [count, gates * hidden, features], r: [count, gates * hidden, hidden],
    ...(bias && { b: [count, 2 * gates * hidden] }), ...(states && { h: [count, batch, hidden] }),
    ...(states && op === 'LSTM' && { c: [count, batch, hidden] }), ...(peepholes && { p: [count, 3 * hidden] }),
  };
  const names = ['x', 'w', 'r', 'b', lengths ? 'lengths' : '', 'h', 'c', 'p'].map((name) => (name === 'lengths' || inputs[name] ? name : ''));
  while (!names[names.length - 1]) names.pop();
  const outputs = op === 'LSTM' ? ['y', 'last', 'cell'] : ['y', 'last'];
  return graphOf({
    inputs, outputs, nodes: [node(op, names, outputs, { ...attributes, hidden_size: int(hidden) })],
    weights: lengths ? { lengths: { dtype: 'int32', shape: [lengths.length], data: Int32Array.from(lengths) } } : {},
  });
}

for (const kind of ['native', 'web'] as const) {
  describe(`gradients of recurrent layers equal finite differences (ONNX Runtime, ${kind})`, function () {
    this.timeout(60_000);
    let engine: Engine;

    before(function () {
      const made = createOrtEngine(kind, { threads: 1 });
      if ('reason' in made) return this.skip(); // The engine's own tests say why it is not there.
      engine = made;
    });

    for (const variant of kind === 'native' ? variants : variants.slice(4, 7)) {
      const { op, attributes = {}, ...parts } = variant;
      it(`${op} ${JSON.stringify({ ...Object.fromEntries(Object.entries(attributes).map(([name, own]) => [name, own.value])), ...parts })}`, async () => {
        const graph = await graphOfVariant(variant);
        for (const { name } of graph.outputs) {
          for (const { wrt, found, expected, scale } of await slopes(engine, graph, name, feedsOf(graph, 3, [-1, 1]))) {
            assert.ok(Math.abs(found - expected) / scale <= 1e-3, `${name}: the slope along ${wrt} is ${expected}, its gradient says ${found}`);
          }
        }
      });
    }

    it('the batch may stay open', async () => {
      const graph = await graphOfVariant(variants[0]!, null);
      for (const { wrt, found, expected, scale } of await slopes(engine, graph, 'y', feedsOf(graph, 3, [-1, 1]))) {
        assert.ok(Math.abs(found - expected) / scale <= 1e-3, `${wrt}: ${expected} and ${found}`);
      }
    });
  });
}

it('a recurrent layer whose sequences have no known length is refused with the reason', async () => {
  const graph = await graphOfVariant(variants[0]!, null, null);
  await assert.rejects(differentiate(graph, { of: 'last', withRespectTo: ['x'] }), /layer y \(LSTM\): there is no gradient of this: .* the length of its sequences must be known/);
});
