import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { megabytes, type Bench, type Row } from './measure';

const root = path.resolve(__dirname, '../..');
const targets = ['linux-x64', 'linux-arm64', 'win32-x64', 'win32-arm64', 'darwin-arm64', 'darwin-x64'];

export const bench: Bench = {
  title: 'Size of the packaged extension, by platform',
  run() {
    const engines = folderBytes(path.join(root, 'node_modules/onnxruntime-node')) + folderBytes(path.join(root, 'node_modules/onnxruntime-web'));
    const rows: Row[] = [];
    for (const target of targets) {
      execFileSync(process.execPath, ['test/harness/package.mjs', '--target', target], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
      const file = readdirSync(root).filter((name) => name.endsWith('.vsix') && name.includes(target))[0];
      if (!file) throw new Error(`packaging made no VSIX for ${target}`);
      const bytes = statSync(path.join(root, file)).size;
      rmSync(path.join(root, file));
      rows.push({
        what: target, ours: megabytes(bytes), against: 'the two ONNX Runtime packages, as npm installs them', theirs: megabytes(engines),
        ratio: `${((100 * bytes) / engines).toFixed(0)} %`,
      });
    }
    return Promise.resolve(rows);
  },
};

function folderBytes(folder: string): number {
  try {
    return readdirSync(folder, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .reduce((sum, entry) => sum + statSync(path.join(entry.parentPath, entry.name)).size, 0);
  } catch {
    return 0;
  }
}
