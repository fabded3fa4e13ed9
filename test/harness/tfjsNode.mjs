// @ts-check
// Best effort: the real @tensorflow/tfjs-node, for the tests of that engine: node test/harness/tfjsNode.mjs [folder]
// Its own installation downloads a TensorFlow library; this one is linked to that of Python's tensorflow-cpu wheel.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { cacheDir, repoRoot } from './paths.mjs';
import { findOnPath, isMain, npm, progress, run, runMain } from './processes.mjs';
import { pythonOf } from './python.mjs';

const defaultHome = path.join(cacheDir, 'tfjs-node');
const headersVersion = '1.9.0';

/** @param {string} [home] @returns {string | undefined} the package's folder, when `makeTfjsNode` made it before */
export function tfjsNodeOf(home = defaultHome) {
  return fs.existsSync(stampOf(home)) ? packageOf(home) : undefined;
}

/**
 * Installs the npm package without its scripts and compiles its binding; a minute at most. Says in one line why not.
 * @param {string | undefined} python one that has tensorflow
 * @param {string} [home] where to
 * @returns {Promise<string | undefined>} the package's folder, for PARTICLIZE_TFJS_NODE
 */
export async function makeTfjsNode(python = process.env.PARTICLIZE_PYTHON ?? pythonOf(), home = defaultHome) {
  if (process.platform !== 'linux') return without('it is linked on Linux only');
  if (python === undefined) return without('there is no Python with tensorflow');
  const library = tensorflowOf(python);
  if (library === undefined) return without('this Python has no tensorflow-cpu');
  const version = wantedVersion();
  const stamp = `${version} ${library}\n`;
  if (fs.existsSync(stampOf(home)) && fs.readFileSync(stampOf(home), 'utf8') === stamp) return packageOf(home);
  const compiler = ['g++', 'clang++'].find((name) => findOnPath(name) !== undefined);
  if (compiler === undefined) return without('there is no C++ compiler');
  progress('Linking tfjs-node to the TensorFlow of Python (half a minute)');
  fs.rmSync(home, { recursive: true, force: true });
  fs.mkdirSync(home, { recursive: true });
  fs.writeFileSync(path.join(home, 'package.json'), '{ "private": true }\n');
  const packages = [`@tensorflow/tfjs-node@${version}`, `node-api-headers@${headersVersion}`];
  const install = npm(['install', ...packages, '--ignore-scripts', '--no-fund', '--no-audit', '--no-package-lock']);
  if ((await exitCode(run(install.program, install.args, { cwd: home, quiet: true }))) !== 0) return without('npm could not install it');
  if ((await compile(compiler, home, library)) !== 0) return without('its binding does not compile');
  const check = spawnSync(process.execPath, ['-e', trial, packageOf(home)], { encoding: 'utf8' });
  if (check.stdout.trim() !== 'tensorflow') {
    return without(`it does not start: ${check.stderr.split('\n').find((line) => /Error/.test(line)) ?? 'no reason given'}`);
  }
  fs.writeFileSync(stampOf(home), stamp);
  return packageOf(home);
}

/** Loads the package at argv[1], with the functions that Node 23 and later no longer have, and says which backend runs. */
const trial = `
  const util = require('node:util');
  util.isNullOrUndefined ??= (value) => value === null || value === undefined;
  util.isArray ??= Array.isArray;
  console.log(require(process.argv[1]).getBackend());`;

/** @param {string} compiler @param {string} home @param {string} library folder of Python's tensorflow package */
function compile(compiler, home, library) {
  const binding = path.join(packageOf(home), 'binding');
  const target = path.join(packageOf(home), 'lib', 'napi-v8', 'tfjs_binding.node');
  fs.mkdirSync(path.dirname(target), { recursive: true });
  return run(compiler, [
    '-shared', '-fPIC', '-O2', '-w', '-std=c++17', '-DNAPI_VERSION=8', `-DNODE_GYP_MODULE_NAME=tfjs_binding`,
    '-I', packageOf(home), '-I', path.join(home, 'node_modules', 'node-api-headers', 'include'), '-I', path.join(library, 'include'),
    path.join(binding, 'tfjs_backend.cc'), path.join(binding, 'tfjs_binding.cc'),
    '-L', library, '-l:libtensorflow_cc.so.2', '-l:libtensorflow_framework.so.2', `-Wl,-rpath,${library}`, '-o', target,
  ], { quiet: true });
}

/** @param {Promise<number>} running @returns {Promise<number>} also where the program cannot be started at all */
function exitCode(running) {
  return running.catch(() => 1);
}

/** @param {string} python @returns {string | undefined} folder of its tensorflow with the two libraries, found without loading it */
function tensorflowOf(python) {
  const script = 'import importlib.util as u; s = u.find_spec("tensorflow"); print(s.submodule_search_locations[0] if s else "")';
  const folder = spawnSync(python, ['-c', script], { encoding: 'utf8' }).stdout?.trim();
  if (!folder) return undefined;
  const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];
  return libraries.every((name) => fs.existsSync(path.join(folder, name))) ? folder : undefined;
}

function wantedVersion() {
  const { optionalDependencies } = JSON.parse(fs.readFileSync(path.join(repoRoot, 'package.json'), 'utf8'));
  return optionalDependencies['@tensorflow/tfjs-node'];
}

/** @param {string} home */
function packageOf(home) {
  return path.join(home, 'node_modules', '@tensorflow', 'tfjs-node');
}

/** @param {string} home */
function stampOf(home) {
  return path.join(home, '.installed');
}

/** @param {string} reason @returns {undefined} */
function without(reason) {
  console.log(`No tfjs-node (${reason}): its tests are skipped.`);
  return undefined;
}

if (isMain(import.meta.url)) {
  runMain(async () => {
    const home = process.argv[2];
    console.log((await makeTfjsNode(undefined, home && path.resolve(home))) ?? '');
  });
}
