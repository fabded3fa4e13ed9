import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { fileSetOf } from '../../../src/compute/files';
import { addAttributes } from '../../../src/core/attributes/registry';
import { openModel } from '../../../src/core/formats/registry';
import { asFloat32 } from '../../../src/core/graph/numeric';
import { decompose } from '../../../src/core/particles/decompose';
import { root } from '../support/openSample';

const folder = path.join(root, 'test/fixtures/sequence');

describe('weight columns of particles other than kernels and neurons', () => {
  for (const kind of ['head', 'unit', 'factor'] as const) {
    it(`every ${kind} of the recorded models has norms, and they add up to its tensors'`, async () => {
      let groups = 0;
      for (const file of fs.readdirSync(folder).filter((name) => name.endsWith('.onnx'))) {
        const graph = await openModel(await fileSetOf(path.join(folder, file)));
        const table = decompose(graph);
        await addAttributes(graph, table);
        for (const group of table.groups.filter((candidate) => candidate.kind === kind)) {
          groups++;
          const own = table.column('l1')!.values.subarray(group.firstRow, group.firstRow + group.count);
          let total = 0;
          for (const { role, tensor } of group.slices) {
            if (['bias', 'norm', 'recurrent'].includes(role)) continue;
            for (const value of asFloat32(await graph.tensors.get(tensor)!.read())) total += Math.abs(value);
          }
          const sum = own.reduce((all, value) => all + value, 0);
          // A head's tensors may hold other heads' columns too (one tensor for query, key and value), never fewer.
          assert.ok(sum > 0 && sum <= total * (1 + 1e-5), `${file} ${group.layer}: ${sum} of ${total}`);
          if (kind !== 'head') assert.ok(Math.abs(sum - total) <= 1e-4 * total, `${file} ${group.layer}: ${sum} of ${total}`);
        }
      }
      assert.ok(groups > 0, `no model with a ${kind}`);
    });
  }
});
