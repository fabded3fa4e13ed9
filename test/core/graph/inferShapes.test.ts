import assert from 'node:assert/strict';
import { graphOfCase, opCases, titleOf } from './opCases';

describe('shapes agree with what ONNX Runtime computed', () => {
  const byOp = new Map<string, typeof opCases>();
  for (const one of opCases) byOp.set(one.op, [...(byOp.get(one.op) ?? []), one]);

  for (const [op, cases] of byOp) {
    it(`${op} (${cases.length} cases)`, async () => {
      for (const one of cases) {
        const graph = await graphOfCase(one);
        assert.deepEqual(graph.findings, [], titleOf(one));
        one.outputs.forEach(({ shape, dtype }, index) => {
          const facts = graph.values.get(`o${index}`);
          assert.deepEqual(facts?.shape, shape, titleOf(one));
          assert.equal(facts?.dtype, dtype, titleOf(one));
        });
        one.contents?.forEach((contents, index) => {
          const constant = graph.constants.get(`o${index}`);
          const fromSizes = one.op === 'Shape' || one.op === 'Size' || one.inputs.every((input) => input?.data);
          if (fromSizes) assert.deepEqual(constant?.map((value) => value! + 0), contents, titleOf(one));
        });
      }
    });
  }

  it('with an unknown first axis, what is known is right', async () => {
    let open = 0;
    for (const one of opCases) {
      if (!one.inputs[0] || one.inputs[0].data || !one.inputs[0].shape.length) continue;
      const graph = await graphOfCase(one, { openBatch: true });
      one.outputs.forEach(({ shape }, index) => {
        const inferred = graph.values.get(`o${index}`)?.shape;
        if (!inferred) return;
        assert.equal(inferred.length, shape.length, titleOf(one));
        inferred.forEach((dim, axis) => {
          if (dim === null) open++;
          else assert.equal(dim, shape[axis], titleOf(one));
        });
      });
    }
    assert.ok(open > 100, 'an unknown batch must show in outputs');
  });
});
