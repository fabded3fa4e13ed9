import type { FileSet } from '../graph/byteSource';
import { ParticlizeError } from '../graph/errors';
import { finishGraph } from '../graph/finishGraph';
import type { ModelGraph } from '../graph/modelGraph';
import type { Format } from './format';
import { nameFile, readDraft } from './onnx/onnxReader';
import { saveOnnx } from './onnx/onnxSave';

/** ONNX, of any operator set; weights inside the file or in external data files beside it. */
export const onnx: Format = {
  id: 'onnx',
  title: 'ONNX',
  extensions: ['.onnx'],
  match: ({ main }, head) => /\.onnx$/i.test(main.name) || looksLikeModel(head),
  open,
  save: saveOnnx,
  holdsGraph: true,
};

async function open(files: FileSet): Promise<ModelGraph> {
  const { main } = files;
  const head = await main.read(0, Math.min(main.sizeBytes, pointer.length));
  if (head.length === pointer.length && head.every((byte, index) => byte === pointer.charCodeAt(index))) {
    throw new ParticlizeError({ file: main.name, cause: 'this is a Git LFS pointer, not the model itself', action: 'Run "git lfs pull"' });
  }
  try {
    return await finishGraph(await readDraft(files));
  } catch (error) {
    throw nameFile(main.name, error);
  }
}

const pointer = 'version https://git-lfs';

/** A ModelProto begins with its small IR version, followed by the producer's name, the graph or the operator sets. */
function looksLikeModel(head: Uint8Array): boolean {
  return head[0] === 0x08 && head[1]! > 0 && head[1]! < 32 && [0x12, 0x3a, 0x42].includes(head[2]!);
}
