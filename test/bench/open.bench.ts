import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { sparse, writeGguf, writeOnnx, writeSafetensors, type BigModel } from './bigModels';
import { faster, megabytes, median, milliseconds, type Bench, type Row } from './measure';

const root = path.resolve(__dirname, '../..');
const large: BigModel = { layers: 160, width: 4096 };
/** The same number of layers in 10 MB. */
const small: BigModel = { layers: 160, width: 128 };

const kinds = [
  { title: 'safetensors', write: writeSafetensors, python: 'import sys, safetensors\nwith safetensors.safe_open(sys.argv[1], "np") as f:\n  print(len([f.get_slice(k).get_shape() for k in f.keys()]))' },
  { title: 'GGUF', write: writeGguf, python: 'import sys, gguf\nprint(len(gguf.GGUFReader(sys.argv[1]).tensors))' },
  { title: 'ONNX with external data', write: writeOnnx, python: 'import sys, onnx\nprint(len(onnx.load(sys.argv[1], load_external_data=False).graph.node))' },
] as const;

/**
 * `particlize read` as a whole program, from its start to the printed layers, on sparse files of 10 GB and of 10 MB; and
 * beside it netron's reader and Python's own loaders as whole programs. PARTICLIZE_PYTHON names a Python that has them;
 * netron is taken from there too (its package holds the JavaScript that it runs).
 */
export const bench: Bench = {
  title: 'Opening a 10 GB file, whole program (limits: 1 s, 300 MB, 1.5 times the time for 10 MB)',
  async run() {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-open-'));
    const netron = netronFolder();
    const rows: Row[] = [];
    try {
      for (const { title, write, python } of kinds) {
        const files = { large: write(folder, 'large', large, sparse), small: write(folder, 'small', small, sparse) };
        const cli = (file: string): Program => ({ command: process.execPath, args: [path.join(root, 'dist/cli.js'), 'read', file, '--json'] });
        const ours = { large: cli(files.large), small: cli(files.small) };
        const failure = run(ours.large).failure;
        if (failure) {
          rows.push({ what: title, ours: 'not read yet', against: '', theirs: '', ratio: failure.slice(0, 80) });
          continue;
        }
        const others: { name: string; program: Program }[] = [];
        if (netron) others.push({ name: 'netron\'s reader in Node', program: { command: process.execPath, args: [path.join(__dirname, 'netronOpen.mjs'), netron, files.large] } });
        if (process.env.PARTICLIZE_PYTHON) others.push({ name: 'Python\'s own loader', program: { command: process.env.PARTICLIZE_PYTHON, args: ['-c', python, files.large] } });
        const [big, little, ...rest] = inTurn([ours.large, ours.small, ...others.map(({ program }) => program)]);
        rows.push({
          what: `${title}, ${(fs.statSync(title.startsWith('ONNX') ? files.large.replace('.onnx', '.data') : files.large).size / 1e9).toFixed(1)} GB`,
          ours: `${milliseconds(big!.elapsedMs)}, ${megabytes(big!.peakBytes)}`, against: 'itself with 10 MB',
          theirs: `${milliseconds(little!.elapsedMs)}, ${megabytes(little!.peakBytes)}`, ratio: `${(big!.elapsedMs / little!.elapsedMs).toFixed(2)} times its time`,
        });
        for (const [index, result] of rest.entries()) {
          rows.push({
            what: '', ours: '', against: others[index]!.name, theirs: result.failure ? `fails: ${result.failure.slice(0, 60)}` : `${milliseconds(result.elapsedMs)}${result.peakBytes ? `, ${megabytes(result.peakBytes)}` : ''}`,
            ratio: result.failure ? '' : faster(result.elapsedMs / big!.elapsedMs),
          });
        }
        for (const name of fs.readdirSync(folder)) fs.rmSync(path.join(folder, name));
      }
    } finally {
      fs.rmSync(folder, { recursive: true, force: true });
    }
    if (!netron) rows.push({ what: 'netron', ours: '', against: '', theirs: 'not measured', ratio: 'its Python package is not in PARTICLIZE_PYTHON' });
    return Promise.resolve(rows);
  },
};

interface Program {
  readonly command: string;
  readonly args: readonly string[];
}

interface Result {
  readonly elapsedMs: number;
  /** 0 where it is not known (Python). */
  readonly peakBytes: number;
  readonly failure?: string;
}

/** Every program once for warm-up, then in turn; medians of time, the most of memory. */
function inTurn(programs: readonly Program[], rounds = 7): Result[] {
  const results = programs.map((program) => ({ program, first: run(program), runs: [] as Result[] }));
  for (let round = 0; round < rounds; round++) {
    for (const { program, first, runs } of results) if (!first.failure) runs.push(run(program));
  }
  return results.map(({ first, runs }) => first.failure ? first : {
    elapsedMs: median(runs.map(({ elapsedMs }) => elapsedMs)), peakBytes: Math.max(...runs.map(({ peakBytes }) => peakBytes)),
  });
}

function run({ command, args }: Program): Result {
  const start = performance.now();
  const measured = command === process.execPath ? ['--require', path.join(__dirname, 'reportMemory.cjs'), ...args] : args;
  const { status, stderr } = spawnSync(command, measured, { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8', timeout: 120_000 });
  const elapsedMs = performance.now() - start;
  const lines = stderr.trim().split('\n').filter((line) => !line.startsWith('peak '));
  const peak = /peak (\d+) kB/.exec(stderr);
  return {
    elapsedMs, peakBytes: peak ? Number(peak[1]) * 1024 : 0,
    ...(status !== 0 && { failure: lines.find((line) => /Error|error/.test(line)) ?? lines.at(-1) ?? `status ${status}` }),
  };
}

function netronFolder(): string | undefined {
  const python = process.env.PARTICLIZE_PYTHON;
  if (!python) return undefined;
  const { status, stdout } = spawnSync(python, ['-c', 'import importlib.util, os; print(os.path.dirname(importlib.util.find_spec("netron").origin))'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}
