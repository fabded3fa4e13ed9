// @ts-check
import fs from 'node:fs';
import path from 'node:path';
import { repoRoot } from './paths.mjs';
import { npm, progress, runOrFail } from './processes.mjs';

/** Installs the repository's npm packages unless node_modules holds what the lock file says. */
export async function ensureDependencies() {
  const lock = path.join(repoRoot, 'package-lock.json');
  const hasLock = fs.existsSync(lock);
  if (isUpToDate(hasLock ? lock : undefined)) return;
  progress('Installing npm packages (a minute or so)');
  const command = npm([hasLock ? 'ci' : 'install', '--no-fund', '--no-audit']);
  await runOrFail('Installing npm packages', command.program, command.args, { quiet: true });
}

/** Builds dist/. @param {string[]} [args] of esbuild.mjs */
export async function build(args = []) {
  await runOrFail('The build', process.execPath, [path.join(repoRoot, 'esbuild.mjs'), ...args]);
}

/** @param {string | undefined} lock */
function isUpToDate(lock) {
  const installed = path.join(repoRoot, 'node_modules', '.package-lock.json');
  if (!fs.existsSync(installed)) return false;
  if (lock === undefined) return true;
  const wanted = packagesOf(lock);
  const present = packagesOf(installed);
  // Optional packages may be missing: they are for other platforms, or their download was refused.
  return Object.entries(wanted).every(
    ([name, { version, optional }]) => name === '' || optional === true || present[name]?.version === version,
  );
}

/** @param {string} lock @returns {Record<string, { version?: string, optional?: boolean }>} */
function packagesOf(lock) {
  return JSON.parse(fs.readFileSync(lock, 'utf8')).packages ?? {};
}
