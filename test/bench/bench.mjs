// @ts-check
// npm run bench [-- name ...]: measures against a peer or a limit, side by side in one run, and prints a table.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const wanted = process.argv.slice(2);
const all = fs.readdirSync(here).filter((file) => file.endsWith('.bench.ts')).map((file) => file.replace('.bench.ts', '')).sort();
const unknown = wanted.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  console.error(`There is no bench called ${unknown.join(', ')}; there are: ${all.join(', ')}.`);
  process.exit(2);
}
const build = spawnSync(process.execPath, ['esbuild.mjs', '--production'], { cwd: path.join(here, '../..'), stdio: ['ignore', 'ignore', 'inherit'] });
if (build.status !== 0) process.exit(build.status ?? 1);
let failed = 0;
for (const name of wanted.length > 0 ? wanted : all) {
  const run = spawnSync(process.execPath, ['--require', 'tsx/cjs', path.join(here, 'runOne.ts'), path.join(here, `${name}.bench.ts`)], {
    cwd: path.join(here, '../..'), stdio: 'inherit',
  });
  if (run.status !== 0) failed++;
}
process.exit(failed > 0 ? 1 : 0);
