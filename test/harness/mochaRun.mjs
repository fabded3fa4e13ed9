// @ts-check
import fs from 'node:fs';
import path from 'node:path';
import { repoRoot } from './paths.mjs';
import { run } from './processes.mjs';
import { readTotals, totalsFile } from './totals.mjs';

/**
 * Runs mocha on TypeScript files with its usual output.
 * @param {string} name of this run, for messages
 * @param {{ files: string[], ignore?: string[], args?: string[], env?: NodeJS.ProcessEnv }} what glob patterns from the
 *   repository's root, further arguments of mocha, environment variables to add
 * @returns {Promise<import('./totals.mjs').Totals>}
 */
export async function runMocha(name, { files, ignore = [], args = [], env = {} }) {
  const totals = totalsFile(name);
  fs.rmSync(totals, { force: true });
  const mocha = path.join(repoRoot, 'node_modules', 'mocha', 'bin', 'mocha.js');
  const reporter = path.join(repoRoot, 'test', 'harness', 'totalsReporter.cjs');
  const ignored = ignore.flatMap((pattern) => ['--ignore', pattern]);
  const code = await run(
    process.execPath,
    [mocha, '--require', 'tsx/cjs', '--reporter', reporter, ...ignored, ...args, ...files],
    { env: { ...process.env, ...env, PARTICLIZE_TOTALS: totals } },
  );
  return readTotals(name, totals, code);
}
