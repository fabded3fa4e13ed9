import assert from 'node:assert';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileSetOf } from '../../../src/compute/files';
import { openModel } from '../../../src/core/formats/registry';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { asNumbers } from '../../../src/core/graph/numeric';
import { decompose } from '../../../src/core/particles/decompose';

const models = path.resolve(__dirname, '../../../../shared/models');
const open = async (file: string): Promise<ModelGraph> => openModel(await fileSetOf(path.join(models, file)));

/** Files of other projects, beside the repository; manifest.shared.json holds those that torch itself can load. */
describe('weight files of other projects (wants ../shared/models)', () => {
  before(function () {
    if (!existsSync(models)) this.skip();
  });

  it('every one opens, or is refused for a reason that is true', async () => {
    const refused: string[] = [];
    for (const folder of ['pytorch', 'safetensors']) {
      for (const name of readdirSync(path.join(models, folder), { recursive: true }) as string[]) {
        if (!/\.(pt|pth|th|tar|safetensors)$/.test(name)) continue;
        try {
          const graph = await open(path.join(folder, name));
          for (const tensor of graph.tensors.values()) await tensor.read();
        } catch (error) {
          refused.push((error as Error).message);
        }
      }
    }
    assert.deepEqual(refused, ['broken.pt: this is not a file that torch.save wrote. It may be damaged, or be a Git LFS pointer.']);
  });

  it('one network in a PyTorch and in a safetensors file has the same layers', async () => {
    // Two trainings of it: torch and safetensors find other numbers in the two files, too (manifest.shared.json has them).
    const [one, two] = [await open('pytorch/burn-mnist/mnist.pt'), await open('safetensors/burn-mnist/mnist.safetensors')];
    const layers = (graph: ModelGraph): string[] => graph.layers.map(({ name, type, tensors }) =>
      `${name} ${type} ${tensors.map((tensor) => `${tensor} [${graph.tensors.get(tensor)!.shape.join()}]`).sort().join(' ')}`).sort();
    assert.deepEqual(layers(one), layers(two));
    const particles = (graph: ModelGraph): string[] => decompose(graph).groups.map(({ layer, kind, count }) => `${layer} ${count} ${kind}s`).sort();
    assert.deepEqual(particles(one), particles(two));
  });

  it('the tar form holds what its maker wrote into it', async () => {
    const graph = await open('pytorch/burn-store-fixtures/reader/test_data/tar_multi_dtype.tar');
    const values = await Promise.all([...graph.tensors].map(async ([name, tensor]) => [name, tensor.dtype, asNumbers(await tensor.read())]));
    assert.deepEqual(values, [
      ['float_tensor', 'float32', [1.5, 2.5, 3.5]],
      ['double_tensor', 'float64', [1.111, 2.222]],
      ['int_tensor', 'int64', [10, 20, 30, 40]],
    ]);
  });
});
