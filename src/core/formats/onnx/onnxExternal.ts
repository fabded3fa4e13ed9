import { ParticlizeError } from '../../graph/errors';
import { bytesPerElement, elementCount, type Tensor } from '../../graph/tensor';
import { Chunks } from '../containers/protobufWriter';
import { elementChunks } from './onnxEncode';
import type { OnnxOrigin } from './onnxReader';
import type { ExternalPlace } from './onnxTensors';

export interface ExternalLayout {
  readonly files: readonly { readonly name: string; readonly chunks: Chunks }[];
  /** New places of tensors that moved. */
  readonly places: ReadonlyMap<string, ExternalPlace>;
}

/**
 * The data files of the changed model: copied as they are when no tensor in them changed, laid out anew otherwise. Under
 * another main name they get other names too, so that both models can lie in one folder.
 */
export function layOutExternal(
  origin: OnnxOrigin, contents: ReadonlyMap<string, Tensor>, gone: ReadonlySet<string>, mainName: string,
): ExternalLayout {
  const files: { name: string; chunks: Chunks }[] = [];
  const places = new Map<string, ExternalPlace>();
  const locations = [...new Set([...origin.external.values()].map((place) => place.location))];
  locations.forEach((location, index) => {
    const source = origin.siblings.get(location);
    if (!source) throw new ParticlizeError({ file: origin.source.name, place: `data file '${location}'`, cause: 'it cannot be read, so the model cannot be written' });
    const name = mainName === origin.source.name ? location : newLocation(location, origin.source.name, mainName, index);
    const all = [...origin.external].filter(([, place]) => place.location === location);
    const kept = all.filter(([tensor]) => !gone.has(tensor)).sort(([, a], [, b]) => a.offset - b.offset);
    const changed = kept.length < all.length || kept.some(([tensor]) => contents.has(tensor));
    if (!changed) {
      files.push({ name, chunks: new Chunks().add({ source, start: 0, end: source.sizeBytes }) });
      if (name !== location) for (const [tensor, place] of kept) places.set(tensor, { ...place, location: name, length: place.length ?? sizeOf(origin, tensor) });
      return;
    }
    const alignment = alignmentOf(all.map(([, place]) => place.offset));
    const chunks = new Chunks();
    for (const [tensor, place] of kept) {
      chunks.add(new Uint8Array((alignment - (chunks.sizeBytes % alignment)) % alignment));
      const content = contents.get(tensor);
      const length = content ? Math.ceil(elementCount(content.shape) * bytes(content)) : place.length ?? sizeOf(origin, tensor);
      places.set(tensor, { location: name, offset: chunks.sizeBytes, length });
      if (content) chunks.addAll(elementChunks(content));
      else chunks.add({ source, start: place.offset, end: place.offset + length });
    }
    files.push({ name, chunks });
  });
  return { files, places };
}

/** 'model.onnx.data' of 'model.onnx' becomes 'small.onnx.data' of 'small.onnx'. */
function newLocation(location: string, mainBefore: string, mainName: string, index: number): string {
  const stem = (name: string): string => name.replace(/\.[^.]*$/, '');
  for (const [before, now] of [[mainBefore, mainName], [stem(mainBefore), stem(mainName)]] as const) {
    if (location.startsWith(before)) return now + location.slice(before.length);
  }
  return index === 0 ? `${mainName}.data` : `${mainName}.${index}.data`;
}

/** The largest power of two, up to a page, that divides every offset. */
function alignmentOf(offsets: readonly number[]): number {
  let alignment = 4096;
  while (alignment > 1 && offsets.some((offset) => offset % alignment)) alignment /= 2;
  return alignment;
}

function sizeOf(origin: OnnxOrigin, tensor: string): number {
  return origin.fileTensors.get(tensor)!.stored!.sizeBytes;
}

function bytes(tensor: Tensor): number {
  return bytesPerElement[tensor.dtype as Exclude<Tensor['dtype'], 'string'>];
}
