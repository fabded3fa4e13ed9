import { ParticlizeError } from '../../graph/errors';
import type { Dim } from '../../graph/modelGraph';
import type { Tensor } from '../../graph/tensor';
import { isObject, type Json } from '../containers/json';
import type { ZipArchive } from '../containers/zip';
import { readTorchFile } from '../pytorch/openTorchFile';
import { tensorOfView } from '../pytorch/torchStorage';
import { torchTensors } from '../pytorch/torchTensors';
import { metaOf } from './exportSchema';

export interface ExportArchive {
  readonly root: Json;
  /** Weights and constants by their names in the state dict. */
  readonly weights: ReadonlyMap<string, Tensor>;
}

const largestJsonBytes = 128 * 2 ** 20;

/** Name of the program's JSON, or undefined when this is no archive of torch.export. */
export function programEntry(zip: ZipArchive): string | undefined {
  const names = [...zip.entries.keys()];
  return names.find((name) => /^([^/]*\/)?serialized_exported_program\.json$/.test(name))
    ?? names.find((name) => /^([^/]*\/)?models\/[^/]+\.json$/.test(name));
}

/** Reads the JSON and where weights lie, in the form of torch 2.8 and later or the older one; no weight is read. */
export async function readExportArchive(file: string, zip: ZipArchive, program: string): Promise<ExportArchive> {
  const root = await readJson(file, zip, program);
  const weights = new Map<string, Tensor>();
  const old = /^(.*)serialized_exported_program\.json$/.exec(program)?.[1];
  if (old !== undefined) {
    for (const part of ['serialized_constants.pt', 'serialized_state_dict.pt', 'serialized_state_dict.json']) {
      const entry = zip.entries.get(`${old}${part}`);
      if (!entry || entry.sizeBytes === 0) continue;
      const { tensors } = torchTensors(file, (await readTorchFile(await zip.open(entry))).file);
      for (const [name, { tensor }] of tensors) weights.set(name, tensor);
    }
    return { root, weights };
  }
  const folder = program.replace(/models\/([^/]+)\.json$/, '');
  const model = /([^/]+)\.json$/.exec(program)![1]!;
  for (const kind of ['constants', 'weights']) {
    const config = `${folder}data/${kind}/${model}_${kind}_config.json`;
    if (!zip.entries.has(config)) continue;
    const entries = await readJson(file, zip, config);
    const listed = isObject(entries) && isObject(entries.config) ? Object.entries(entries.config) : [];
    for (const [name, place] of listed) {
      const tensor = await weightOf(file, zip, `${folder}data/${kind}/`, name, place!);
      if (tensor) weights.set(name, tensor);
    }
  }
  return { root, weights };
}

async function weightOf(file: string, zip: ZipArchive, folder: string, name: string, place: Json): Promise<Tensor | undefined> {
  if (!isObject(place) || typeof place.path_name !== 'string') return undefined;
  const entry = zip.entry(`${folder}${place.path_name}`);
  const source = await zip.open(entry);
  if (place.use_pickle === true) {
    const { tensors } = torchTensors(file, (await readTorchFile(source)).file);
    return [...tensors.values()][0]?.tensor;
  }
  if (place.tensor_meta === undefined || place.tensor_meta === null) return undefined;
  const { dtype, shape, strides, offset } = describedAs(file, name, place.tensor_meta);
  const known = (dims: readonly Dim[]): number[] => dims.map((dim) => dim ?? NaN);
  if (!dtype || dtype === 'string') throw new ParticlizeError({ file, place: `tensor ${name}`, cause: 'its element type is not one that Particlize reads' });
  const direct = entry.method === 0;
  const storage = {
    key: place.path_name, sizeBytes: entry.sizeBytes, bigEndian: false,
    source: direct ? zip.source : source, offset: direct ? await zip.dataOffset(entry) : 0,
  };
  return tensorOfView(file, name, { storage, dtype, shape: known(shape), strides: known(strides), offset: offset ?? NaN });
}

function describedAs(file: string, name: string, meta: Json): ReturnType<typeof metaOf> {
  try {
    return metaOf(meta);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ParticlizeError({ file, place: `tensor ${name}`, cause: error.message, action: 'The file is damaged; export the model again' }, { cause: error });
  }
}

async function readJson(file: string, zip: ZipArchive, name: string): Promise<Json> {
  const bytes = await zip.readAll(zip.entry(name), largestJsonBytes);
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as Json;
  } catch (error) {
    throw new ParticlizeError({ file, place: name, cause: 'it is not valid JSON', action: 'The file is damaged; export the model again' }, { cause: error });
  }
}
