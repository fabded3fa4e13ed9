import type { ByteSource, FileSet } from '../graph/byteSource';
import { ParticlizeError, type Finding } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import type { Tensor } from '../graph/tensor';
import { npyHeader, readNpy, type NpyHeader } from './containers/npy';
import { looksLikeZip, openZip, type ZipArchive, type ZipEntry } from './containers/zip';
import { copied, zipFile, type ZipPart } from './containers/zipWriter';
import type { Format, SavedFile } from './format';
import { namedTensorGraph } from './namedTensors';
import { bytesOf } from './onnx/onnxTensors';
import { contiguousStrides, swapBytes, tensorOfView } from './pytorch/torchStorage';

/** NumPy .npz: a zip archive of arrays, taken for weights named by their keys. No graph. */
export const npz: Format = {
  id: 'npz',
  title: 'NumPy weights',
  extensions: ['.npz'],
  match: ({ main }, head) => looksLikeZip(head) && /\.npz$/i.test(main.name),
  open,
  save,
};

interface NpzOrigin {
  readonly main: ByteSource;
  readonly zip: ZipArchive;
  readonly arrays: ReadonlyMap<string, { readonly entry: ZipEntry; readonly header: NpyHeader }>;
}

async function open({ main }: FileSet): Promise<ModelGraph> {
  const zip = await openZip(main);
  const findings: Finding[] = [];
  const arrays = new Map<string, { entry: ZipEntry; header: NpyHeader }>();
  const tensors: Tensor[] = [];
  for (const entry of zip.entries.values()) {
    if (!entry.name.endsWith('.npy')) continue;
    const name = entry.name.slice(0, -'.npy'.length);
    const source = await zip.open(entry);
    const header = await readNpy(source);
    const { dtype, descr, shape, fortranOrder, bigEndian, dataOffset } = header;
    if (!dtype) {
      const reason = /O/.test(descr) ? 'Python objects, which are code and not data' : `elements of type ${descr}, which Particlize does not read`;
      findings.push({ severity: 'warning', place: name, message: `this array holds ${reason}; it is not shown` });
      continue;
    }
    const strides = fortranOrder ? [...contiguousStrides([...shape].reverse())].reverse() : contiguousStrides(shape);
    const direct = entry.method === 0;
    const storage = {
      key: entry.name, bigEndian, sizeBytes: source.sizeBytes - dataOffset,
      source: direct ? main : source, offset: (direct ? await zip.dataOffset(entry) : 0) + dataOffset,
    };
    tensors.push(tensorOfView(main.name, name, { storage, dtype, offset: 0, shape, strides }));
    arrays.set(name, { entry, header });
  }
  if (!tensors.length) throw new ParticlizeError({ file: main.name, cause: 'the archive holds no NumPy arrays that are numbers' });
  const origin: NpzOrigin = { main, zip, arrays };
  return namedTensorGraph({ format: npz.id, producer: 'NumPy', tensors, findings, origin });
}

/** Changed arrays are written anew, gone ones left out, everything else is copied as it lies there. */
function save(original: ModelGraph, graph: ModelGraph, mainName: string): Promise<readonly SavedFile[]> {
  const { main, zip, arrays } = original.origin as NpzOrigin;
  const parts: ZipPart[] = [];
  let changes = 0;
  for (const entry of zip.entries.values()) {
    const name = entry.name.replace(/\.npy$/, '');
    const array = arrays.get(name);
    const tensor = graph.tensors.get(name);
    if (!array || tensor === original.tensors.get(name)) {
      parts.push({ name: entry.name, copy: entry, from: zip });
      continue;
    }
    changes++;
    if (tensor) parts.push(arrayPart(entry.name, array.header, tensor));
  }
  const file = changes ? zipFile(parts) : { sizeBytes: main.sizeBytes, chunks: () => copied(main, 0, main.sizeBytes) };
  return Promise.resolve([{ name: mainName, ...file }]);
}

function arrayPart(name: string, { descr, dtype, bigEndian }: NpyHeader, tensor: Tensor): ZipPart {
  const header = npyHeader(descr, tensor.shape);
  const elements = tensor.shape.reduce((product, size) => product * size, 1);
  const sizeBytes = header.length + elements * Number(/\d+$/.exec(descr)![0]);
  return {
    name, sizeBytes,
    async read() {
      const bytes = new Uint8Array(sizeBytes);
      bytes.set(header);
      bytes.set(bytesOf(await tensor.read()), header.length);
      if (bigEndian && dtype) swapBytes(bytes.subarray(header.length), dtype);
      return bytes;
    },
  };
}
