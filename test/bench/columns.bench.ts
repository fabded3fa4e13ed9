import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { weightStatistics } from '../../src/core/attributes/weightStatistics';
import { openModel } from '../../src/core/formats/registry';
import { decompose } from '../../src/core/particles/decompose';
import { fileSetOf } from '../../src/compute/files';
import { weightWorkers } from '../../src/compute/weightWorkers';
import { random, writeOnnx, type BigModel } from './bigModels';
import { inTurn, milliseconds, timed, median, type Bench, type Row } from './measure';

const model: BigModel = { layers: 16, width: 3952 };

/**
 * Every weight-statistics column of a file of 1 GB of float32 (half of its layers stored [out, in], half [in, out]) on
 * all cores, against reading the file once and against NumPy. PARTICLIZE_PYTHON names a Python with NumPy.
 */
export const bench: Bench = {
  title: 'Weight columns of a 1 GB file (limit: 1.5 times the time of cat)',
  async run() {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'particlize-columns-'));
    const rows: Row[] = [];
    try {
      const file = writeOnnx(folder, 'chain', model, random);
      const data = path.join(folder, 'chain.data');
      const graph = await openModel(await fileSetOf(file));
      const summer = weightWorkers();
      const ours = (): Promise<unknown> => weightStatistics.compute(graph, decompose(graph), undefined, { summer });
      const what = `${(fs.statSync(data).size / 1e9).toFixed(2)} GB, ${os.availableParallelism()} cores`;
      const first = await timed(ours);
      const cat = (): Promise<unknown> => Promise.resolve(spawnSync('sh', ['-c', 'cat "$0" > /dev/null', data]));
      if (process.platform !== 'win32') {
        const { oursMs, theirsMs, ratio } = await inTurn(ours, cat, 15);
        rows.push({ what, ours: milliseconds(oursMs), against: 'cat FILE > /dev/null', theirs: milliseconds(theirsMs), ratio: `${(1 / ratio).toFixed(2)} times its time` });
      }
      rows.push({ what: 'the first time, with starting the threads', ours: milliseconds(first), against: '', theirs: '', ratio: '' });
      const python = process.env.PARTICLIZE_PYTHON;
      if (python) {
        const numpy = new Numpy(python, data);
        try {
          const pairs = await inTurn(ours, () => numpy.run(), 3);
          rows.push({ what, ours: milliseconds(pairs.oursMs), against: 'NumPy, mapped file, the same sums', theirs: milliseconds(pairs.theirsMs), ratio: `${pairs.ratio.toFixed(1)} times faster` });
        } finally {
          numpy.end();
        }
      }
      const share = await timesOfParts(data);
      rows.push({ what: 'one thread reading alone, 256 KiB at a time', ours: milliseconds(share), against: '', theirs: '', ratio: '' });
    } finally {
      fs.rmSync(folder, { recursive: true, force: true });
    }
    return rows;
  },
};

async function timesOfParts(data: string): Promise<number> {
  const descriptor = fs.openSync(data, 'r');
  const buffer = new Uint8Array(1 << 18);
  const { size } = fs.fstatSync(descriptor);
  const read = (): Promise<void> => {
    for (let at = 0; at < size; at += buffer.length) fs.readSync(descriptor, buffer, 0, buffer.length, at);
    return Promise.resolve();
  };
  const times = [];
  for (let round = 0; round < 3; round++) times.push(await timed(read));
  fs.closeSync(descriptor);
  return median(times);
}

const script = `
import sys
import numpy as np
data, layers, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for _ in sys.stdin:
  for index in range(layers):
    w = np.memmap(data, np.float32, "r", index * width * width * 4, (width, width))
    axis = 0 if index % 2 else 1
    size = np.abs(w)
    w.mean(axis, dtype=np.float64); size.sum(axis, dtype=np.float64); np.square(w).sum(axis, dtype=np.float64); size.max(axis)
    w.std(axis, dtype=np.float64); (size <= 2.0 ** (np.floor(np.log2(size.max())) - 10)).mean(axis)
  print("done", flush=True)
`;

/** Python started once; its start is not what is measured. */
class Numpy {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(python: string, data: string) {
    this.child = spawn(python, ['-c', script, data, String(model.layers), String(model.width)], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.lines = createInterface(this.child.stdout!)[Symbol.asyncIterator]();
  }

  async run(): Promise<void> {
    this.child.stdin!.write('go\n');
    if ((await this.lines.next()).value !== 'done') throw new Error('NumPy did not come to an end');
  }

  end(): void {
    this.child.kill();
  }
}
