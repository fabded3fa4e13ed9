import type { FileSet } from '../graph/byteSource';
import { ParticlizeError, type Finding } from '../graph/errors';
import { finishGraph } from '../graph/finishGraph';
import type { ModelGraph } from '../graph/modelGraph';
import { FlatBuffer } from './containers/flatbuffers';
import type { Format } from './format';
import { inlineFunctions } from './tensorflow/inlineFunctions';
import { translate } from './tensorflow/translate';
import { tfliteGraph } from './tfliteGraph';

/** TensorFlow Lite (LiteRT) models. Read only: they are made from other files, which is where a change belongs. */
export const tflite: Format = {
  id: 'tflite',
  title: 'TensorFlow Lite',
  extensions: ['.tflite', '.lite'],
  match: ({ main }, head) => identified(head) || /\.tflite$/i.test(main.name),
  open,
};

/** Tables lie anywhere in the file, so that it is read whole. */
const largestBytes = 2 ** 31 - 1;

function identified(head: Uint8Array): boolean {
  return new TextDecoder('latin1').decode(head.subarray(4, 8)) === 'TFL3';
}

async function open({ main }: FileSet): Promise<ModelGraph> {
  if (main.sizeBytes > largestBytes) throw new ParticlizeError({ file: main.name, cause: `${main.sizeBytes} bytes are more than a TensorFlow Lite file can have` });
  const bytes = await main.read(0, main.sizeBytes);
  if (!identified(bytes)) throw new ParticlizeError({ file: main.name, place: 'byte 4', cause: 'it does not begin as a TensorFlow Lite model does' });
  const findings: Finding[] = [];
  const { graph, outputs } = tfliteGraph(main, new FlatBuffer(main.name, bytes), findings);
  const { record: _none, ...parts } = await translate(inlineFunctions(graph, main.name), {
    file: main.name, outputs,
    variable: () => undefined,
  });
  return finishGraph({ ...parts, findings: [...findings, ...parts.findings], format: tflite.id, producer: 'TensorFlow Lite', opset: 18, origin: undefined });
}
