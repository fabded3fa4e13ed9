import type { FileSet } from '../graph/byteSource';
import type { Finding } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import type { Format } from './format';
import { readGguf } from './gguf/ggufHeader';
import { ggufTensor } from './gguf/ggufTensor';
import { namedTensorGraph } from './namedTensors';

/** GGUF (llama.cpp), versions 1 to 3: weights without a graph; quantised ones are decoded when they are read. Not written. */
export const gguf: Format = {
  id: 'gguf',
  title: 'GGUF',
  extensions: ['.gguf'],
  match: ({ main }, head) => /\.gguf$/i.test(main.name) || String.fromCharCode(...head.subarray(0, 4)) === 'GGUF',
  open,
};

async function open({ main }: FileSet): Promise<ModelGraph> {
  const header = await readGguf(main);
  const findings: Finding[] = [];
  const counts = new Map<string, number>();
  const tensors = header.tensors.map((info) => {
    const { tensor, typeName, kind } = ggufTensor(main, header, info);
    if (kind !== 'plain') counts.set(typeName, (counts.get(typeName) ?? 0) + 1);
    if (kind === 'unread') findings.push({ severity: 'warning', place: info.name, message: `its elements are of type ${typeName}, which Particlize does not read` });
    return tensor;
  });
  const quantised = [...counts].map(([type, count]) => `${count} as ${type}`).join(', ');
  if (quantised) findings.push({ severity: 'info', place: main.name, message: `some weights are quantised (${quantised}); their sizes are those of the decoded float32 weights` });
  const { 'general.architecture': architecture, 'general.name': name } = header.metadata;
  const producer = ['GGUF', architecture, name].filter((part) => typeof part === 'string').join(' ');
  return namedTensorGraph({ format: gguf.id, producer, tensors, findings, origin: header });
}
