import assert from 'node:assert/strict';
import fs from 'node:fs';
import { readDraft } from '../../../src/core/formats/onnx/onnxReader';
import { finishGraph } from '../../../src/core/graph/finishGraph';
import { familyOf } from '../../../src/core/graph/ops/registry';
import { elementCount, tensorOf } from '../../../src/core/graph/tensor';
import { backendNodeFile, readBackendCases, readTensorFile } from '../support/backendNode';

describe(`shapes agree with ONNX's own operator tests${fs.existsSync(backendNodeFile) ? '' : ' (skipped: ../shared/models is not here)'}`, () => {
  it('wherever every operator of the model is known', async function () {
    if (!fs.existsSync(backendNodeFile)) return this.skip();
    this.timeout(120_000);
    let compared = 0;
    const wrong: string[] = [];
    const open: string[] = [];
    for (const { name, model, inputs, outputs } of readBackendCases()) {
      const draft = await readDraft(model).catch(() => undefined);
      if (!draft || !draft.nodes.every((node) => familyOf(node))) continue;
      // What the file declares would hide what inference finds, and integer inputs steer shapes: both are changed here.
      const tensors = new Map(draft.tensors);
      for (const [index, { name: input }] of draft.inputs.entries()) {
        const tensor = await readTensorFile(inputs[index]);
        const steers = tensor && (index > 0 || draft.inputs.length === 1) && elementCount(tensor.shape) <= 64 && tensor.dtype !== 'string';
        if (steers) tensors.set(input, tensorOf(input, await tensor.read()));
      }
      const graph = await finishGraph({
        ...draft, tensors, declared: undefined, outputs: draft.outputs.map((output) => ({ name: output.name })),
        inputs: draft.inputs.filter((input) => !tensors.has(input.name)),
      });
      for (const [index, output] of graph.outputs.entries()) {
        const recorded = await readTensorFile(outputs[index]);
        if (!recorded) continue;
        compared++;
        const inferred = output.shape ?? graph.tensors.get(output.name)?.shape;
        const same = inferred?.length === recorded.shape.length && inferred.every((dim, axis) => dim === null || dim === recorded.shape[axis]);
        if (inferred && !same) wrong.push(`${name}: [${inferred.join(', ')}] instead of [${recorded.shape.join(', ')}]`);
        else if (!inferred || inferred.includes(null)) open.push(name);
        for (const finding of graph.findings) if (finding.severity === 'warning') wrong.push(`${name}: ${finding.message}`);
      }
    }
    assert.deepEqual(wrong, []);
    assert.ok(compared > 600, `only ${compared} cases were compared`);
    // A range whose start is fed, and sizes that follow a picture's proportions, are only known when the model runs.
    const expected = /^test_(range_|resize_.*_not_(smaller|larger)$)/;
    assert.deepEqual(open.filter((name) => !expected.test(name)), [], `of ${compared} outputs`);
  });
});
