// @ts-check
// Best effort: a Python with the real frameworks, for the tests that compare with them: node test/harness/python.mjs
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { cacheDir, sampleDir } from './paths.mjs';
import { findOnPath, isMain, progress, run, runMain } from './processes.mjs';

const home = path.join(cacheDir, 'python');
const stamp = path.join(home, '.installed');
const requirements = path.join(sampleDir, 'requirements.txt');

/** @returns {string | undefined} the Python of the environment that `makePythonEnvironment` made before */
export function pythonOf() {
  return fs.existsSync(stamp) ? program() : undefined;
}

/**
 * Makes a virtual environment with the frameworks in the cache, or says in one line why not.
 * @returns {Promise<string | undefined>} its Python
 */
export async function makePythonEnvironment() {
  if (fs.existsSync(stamp)) return program();
  const python = ['python3', 'python'].find((name) => findOnPath(name) !== undefined && hasPip(name));
  if (python === undefined) return without('there is no Python with pip and venv');
  progress('Making a Python environment with the real frameworks (a few minutes)');
  fs.rmSync(home, { recursive: true, force: true });
  if ((await run(python, ['-m', 'venv', home], { quiet: true })) !== 0) return without('venv failed');
  const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements];
  if ((await run(program(), install, { quiet: true })) !== 0) return without('pip could not install the frameworks');
  fs.writeFileSync(stamp, '');
  return program();
}

function program() {
  return process.platform === 'win32' ? path.join(home, 'Scripts', 'python.exe') : path.join(home, 'bin', 'python');
}

/** @param {string} python */
function hasPip(python) {
  return spawnSync(python, ['-c', 'import pip, venv, ensurepip'], { stdio: 'ignore' }).status === 0;
}

/** @param {string} reason @returns {undefined} */
function without(reason) {
  console.log(`No Python environment (${reason}): comparisons with the real frameworks are skipped.`);
  return undefined;
}

if (isMain(import.meta.url)) runMain(async () => console.log((await makePythonEnvironment()) ?? ''));
