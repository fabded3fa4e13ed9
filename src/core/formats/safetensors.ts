import type { ByteSource, FileSet } from '../graph/byteSource';
import { ParticlizeError, type Finding } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import { bytesPerElement, elementCount, type Tensor } from '../graph/tensor';
import { isObject, type Json } from './containers/json';
import type { Format, SavedFile } from './format';
import { namedTensorGraph } from './namedTensors';
import { readSafetensors, safetensorsFile, type SafetensorsFile } from './safetensors/safetensorsFile';

/** Safetensors: one file, or shards listed in a *.safetensors.index.json. Weights without a graph. */
export const safetensors: Format = {
  id: 'safetensors',
  title: 'safetensors',
  extensions: ['.safetensors', '.safetensors.index.json'],
  match: ({ main }, head) => /\.safetensors(\.index\.json)?$/i.test(main.name) || looksLikeSafetensors(head, main.sizeBytes),
  open,
  save,
};

interface SafetensorsOrigin {
  readonly main: ByteSource;
  /** The index, when the model is in shards. */
  readonly index?: { readonly text: string; readonly map: ReadonlyMap<string, string> };
  /** Shards by the names that the index has for them; the file itself under ''. */
  readonly files: ReadonlyMap<string, SafetensorsFile>;
}

function looksLikeSafetensors(head: Uint8Array, sizeBytes: number): boolean {
  if (head.length < 10 || head[8] !== 0x7b || head[9] !== 0x22) return false;
  return Number(new DataView(head.buffer, head.byteOffset).getBigUint64(0, true)) <= sizeBytes - 8;
}

async function open(files: FileSet): Promise<ModelGraph> {
  const { main } = files;
  const findings: Finding[] = [];
  const origin = /\.json$/i.test(main.name) ? await openIndex(files, findings) : { main, files: new Map([['', await readSafetensors(main)]]) };
  const tensors: Tensor[] = [];
  const shardOf = new Map<string, string>();
  for (const [shard, file] of origin.files) {
    findings.push(...file.findings);
    for (const { tensor } of file.entries.values()) {
      const twin = shardOf.get(tensor.name);
      if (twin !== undefined) throw new ParticlizeError({ file: main.name, place: `tensor ${tensor.name}`, cause: `it is in '${twin}' and in '${shard}'` });
      shardOf.set(tensor.name, shard);
      tensors.push(tensor);
    }
  }
  if (!tensors.length) throw new ParticlizeError({ file: main.name, cause: 'the file holds no tensors' });
  const producer = [...origin.files.values()].map((file) => file.metadata?.format).find((format) => typeof format === 'string');
  return namedTensorGraph({ format: safetensors.id, producer: producer ? `safetensors (${producer})` : 'safetensors', tensors, findings, origin });
}

const largestIndexBytes = 64 * 2 ** 20;

async function openIndex(files: FileSet, findings: Finding[]): Promise<SafetensorsOrigin> {
  const { main } = files;
  const fail = (cause: string): never => {
    throw new ParticlizeError({ file: main.name, cause, action: 'Download the index again' });
  };
  if (main.sizeBytes > largestIndexBytes) fail(`${main.sizeBytes} bytes are too many for an index of shards`);
  const text = new TextDecoder().decode(await main.read(0, main.sizeBytes));
  let root: Json;
  try {
    root = JSON.parse(text) as Json;
  } catch {
    return fail('it is not valid JSON');
  }
  const listed = isObject(root) && isObject(root.weight_map) ? Object.entries(root.weight_map) : fail('it has no weight_map');
  const map = new Map(listed.map(([name, shard]) => [name, typeof shard === 'string' ? shard : fail(`the shard of ${name} has no name`)]));
  const shards = new Map<string, SafetensorsFile>();
  let first: unknown;
  for (const shard of new Set(map.values())) {
    try {
      shards.set(shard, await readSafetensors(await files.sibling(shard)));
    } catch (error) {
      if (!(error instanceof ParticlizeError)) throw error;
      first ??= error;
      const count = [...map.values()].filter((one) => one === shard).length;
      findings.push({ severity: 'error', place: shard, message: `the weights in this shard (${count} tensors) are missing: ${error.message}` });
    }
  }
  if (shards.size === 0) throw first ?? fail('it lists no shards');
  return { main, index: { text, map }, files: shards };
}

async function save(original: ModelGraph, graph: ModelGraph, mainName: string): Promise<readonly SavedFile[]> {
  const { main, index, files } = original.origin as SafetensorsOrigin;
  const replacement = (name: string): Tensor | undefined => graph.tensors.get(name);
  const saved = [...files].map(([shard, file]) => ({ shard, name: index ? shardName(shard, main.name, mainName) : mainName, file: safetensorsFile(file, replacement) }));
  const parts = saved.map(({ name, file }) => ({ name, ...file }));
  if (!index) return parts;
  if (files.size < new Set(index.map.values()).size) {
    throw new ParticlizeError({ file: main.name, cause: 'some of its shards are missing, so that it cannot be saved', action: 'Download the missing shards' });
  }
  const names = new Map(saved.map(({ shard, name }) => [shard, name]));
  const root = JSON.parse(index.text) as { metadata?: Record<string, Json>; weight_map: Record<string, string> };
  root.weight_map = Object.fromEntries([...index.map].filter(([name]) => graph.tensors.has(name)).map(([name, shard]) => [name, names.get(shard)!]));
  if (root.metadata?.total_size !== undefined) {
    root.metadata.total_size = [...index.map.keys()].reduce((sum, name) => sum + sizeOf(graph.tensors.get(name)), 0);
  }
  const bytes = new TextEncoder().encode(`${JSON.stringify(root, undefined, 2)}\n`);
  return [{ name: mainName, sizeBytes: bytes.length, async* chunks() { yield bytes; } }, ...parts];
}

function sizeOf(tensor: Tensor | undefined): number {
  return !tensor || tensor.dtype === 'string' ? 0 : elementCount(tensor.shape) * bytesPerElement[tensor.dtype];
}

/** A copy under another name must not write over the shards of its original. */
function shardName(shard: string, originalMain: string, main: string): string {
  if (originalMain === main) return shard;
  const part = /(-\d+-of-\d+)\.safetensors$/i.exec(shard)?.[1] ?? `-${shard.replace(/^.*\//, '').replace(/\.safetensors$/i, '')}`;
  return `${main.replace(/(\.safetensors)?(\.index)?\.json$/i, '')}${part}.safetensors`;
}
