import type { FileSet } from '../graph/byteSource';
import { ParticlizeError } from '../graph/errors';
import { finishGraph } from '../graph/finishGraph';
import type { ModelGraph } from '../graph/modelGraph';
import { isObject } from './containers/json';
import { looksLikeZip, openZip } from './containers/zip';
import type { Format } from './format';
import { nameFile } from './onnx/onnxReader';
import { programEntry, readExportArchive } from './pt2/exportArchive';
import { parseExport, type ExportedGraph } from './pt2/exportSchema';
import { translate, type Translated } from './pt2/translate';

/** PyTorch programs saved by torch.export, with their graph; aten operators are translated to ONNX's. Not written. */
export const pt2: Format = {
  id: 'pt2',
  title: 'PyTorch exported program',
  extensions: ['.pt2'],
  match,
  open,
};

async function match({ main }: FileSet, head: Uint8Array): Promise<boolean> {
  if (!looksLikeZip(head)) return false;
  if (/\.pt2$/i.test(main.name)) return true;
  try {
    return /\.(pt|pth)$/i.test(main.name) && programEntry(await openZip(main)) !== undefined;
  } catch {
    return false;
  }
}

async function open({ main }: FileSet): Promise<ModelGraph> {
  const zip = await openZip(main);
  const program = programEntry(zip);
  if (program === undefined) throw new ParticlizeError({ file: main.name, cause: 'the archive holds no exported program', action: 'Save it with torch.export.save' });
  const { root, weights } = await readExportArchive(main.name, zip, program);
  let exported: ExportedGraph;
  let translated: Translated;
  try {
    exported = parseExport(root);
    translated = translate(exported, weights);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ParticlizeError({ file: main.name, place: program, cause: error.message, action: 'The file is damaged, or of a version that Particlize does not read' }, { cause: error });
  }
  if (!translated.nodes.length) throw new ParticlizeError({ file: main.name, cause: 'the program has no operators' });
  const version = isObject(root) && typeof root.torch_version === 'string' ? ` ${root.torch_version.split('+')[0]}` : '';
  try {
    return await finishGraph({ ...translated, format: pt2.id, producer: `PyTorch${version} (torch.export)`, opset: 20, origin: { main } });
  } catch (error) {
    throw nameFile(main.name, error);
  }
}
