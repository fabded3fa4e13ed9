import type { FileSet } from '../graph/byteSource';
import { ParticlizeError } from '../graph/errors';
import type { ModelGraph } from '../graph/modelGraph';
import { looksLikeTar } from './containers/tar';
import { looksLikeZip, openZip } from './containers/zip';
import type { Format } from './format';
import { namedTensorGraph } from './namedTensors';
import { looksLikePickle, readTorchFile } from './pytorch/openTorchFile';
import { isTorchScript, torchPrefix } from './pytorch/torchFile';
import { saveTorch, type TorchOrigin } from './pytorch/torchSave';
import { torchTensors } from './pytorch/torchTensors';

/** State dicts and checkpoints of torch.save, of any PyTorch version. They hold weights and no graph. */
export const pytorch: Format = {
  id: 'pytorch',
  title: 'PyTorch weights',
  extensions: ['.pt', '.pth', '.th', '.bin', '.ckpt'],
  match,
  open: (files) => openTorch(files, false),
  save: saveTorch,
};

/** Archives of torch.jit.save: opened for their weights; the code in them is not read, and they are not written. */
export const torchScript: Format = {
  id: 'torchscript',
  title: 'TorchScript weights',
  extensions: ['.pt', '.pth', '.ptl'],
  match: async (files, head) => (await archiveKind(files, head)) === 'script',
  open: (files) => openTorch(files, true),
};

async function match(files: FileSet, head: Uint8Array): Promise<boolean> {
  const { name } = files.main;
  if (/\.(pt|pth|th)$/i.test(name)) return !looksLikeZip(head) || (await archiveKind(files, head)) === 'weights';
  if (looksLikeZip(head)) return (await archiveKind(files, head)) === 'weights';
  if (looksLikePickle(head)) return /\.(bin|ckpt|pkl|pickle|tar)$/i.test(name) || isLegacy(head);
  return looksLikeTar(head) && /^(sys_info|pickle|storages|tensors)\0/.test(new TextDecoder('latin1').decode(head.subarray(0, 16)));
}

/** 'weights' also for archives that are damaged, when their name says so: opening them then says what is wrong. */
async function archiveKind({ main }: FileSet, head: Uint8Array): Promise<'script' | 'weights' | undefined> {
  if (!looksLikeZip(head)) return undefined;
  try {
    const zip = await openZip(main);
    const prefix = torchPrefix(zip);
    if (prefix === undefined) return undefined;
    return isTorchScript(zip, prefix) ? 'script' : 'weights';
  } catch {
    return /\.(pt|pth|th|ckpt)$/i.test(main.name) ? 'weights' : undefined;
  }
}

/** The number with which torch.save begins a file that is no archive. */
function isLegacy(head: Uint8Array): boolean {
  return head[2] === 0x8a && head[3] === 0x0a && head[4] === 0x6c && head[5] === 0xfc && head[6] === 0x9c;
}

async function openTorch({ main }: FileSet, script: boolean): Promise<ModelGraph> {
  const { file, form } = await readTorchFile(main);
  const found = torchTensors(main.name, file);
  if (found.tensors.size === 0) {
    throw new ParticlizeError({ file: main.name, cause: 'the file holds no tensors', action: 'Save the weights: torch.save(model.state_dict(), path)' });
  }
  const origin: TorchOrigin = { source: main, file, found };
  const findings = [...found.findings];
  if (script) {
    findings.push({ severity: 'info', place: main.name, message: 'this is a TorchScript archive: its weights are shown, its code is not read, and it cannot be saved; export the model to ONNX to see its graph' });
  } else if (form !== 'zip') {
    findings.push({ severity: 'info', place: main.name, message: `the file is in the ${form} form of old PyTorch versions; a changed copy is saved in the zip form, which PyTorch 1.6 and later read` });
  }
  return namedTensorGraph({
    format: script ? torchScript.id : pytorch.id, producer: 'PyTorch', origin, findings,
    tensors: [...found.tensors.values()].map(({ tensor }) => tensor),
  });
}
