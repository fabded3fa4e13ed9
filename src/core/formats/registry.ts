import { ParticlizeError } from '../graph/errors';
import type { FileSet } from '../graph/byteSource';
import type { ModelGraph } from '../graph/modelGraph';
import type { Format } from './format';
import { kerasArchive } from './kerasArchive';
import { kerasH5 } from './kerasH5';
import { gguf } from './gguf';
import { npz } from './npz';
import { onnx } from './onnx';
import { pt2 } from './pt2';
import { pytorch, torchScript } from './pytorch';
import { safetensors } from './safetensors';
import { frozenGraph, savedModel } from './savedModel';
import { tflite } from './tflite';
import { tfjsGraph } from './tfjsGraph';
import { tfjsLayers } from './tfjsLayers';

/** Every format that Particlize reads; a new one is one file and one line here. The first match wins. */
export const formats: readonly Format[] = [
  savedModel,
  onnx,
  kerasArchive,
  kerasH5,
  tfjsLayers,
  tfjsGraph,
  frozenGraph,
  tflite,
  pt2,
  pytorch,
  torchScript,
  safetensors,
  gguf,
  npz,
];

const headBytes = 1024;

/** Finds the format of a file and opens it. Rejects with a ParticlizeError when nothing matches. */
export async function openModel(files: FileSet): Promise<ModelGraph> {
  const format = await formatOf(files);
  return format.open(files);
}

export async function formatOf(files: FileSet): Promise<Format> {
  const { main } = files;
  if (main.sizeBytes === 0) throw new ParticlizeError({ file: main.name, cause: 'the file is empty' });
  const head = await main.read(0, Math.min(headBytes, main.sizeBytes));
  for (const format of formats) if (await format.match(files, head)) return format;
  throw new ParticlizeError({
    file: main.name,
    cause: 'this is not a model file that Particlize knows',
    action: `It opens ${formats.map((format) => format.title).join(', ')}`,
  });
}

export function formatById(id: string): Format | undefined {
  return formats.find((format) => format.id === id);
}
