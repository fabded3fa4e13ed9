// @ts-check
import fs from 'node:fs';
import path from 'node:path';
import { cacheDir } from './paths.mjs';
import { HarnessError, isMain, npm, progress, runMain, runOrFail } from './processes.mjs';

/**
 * The VS Code versions that the tests run in. code-server is a complete VS Code on npm (`codeServer` is its version,
 * `nodes` the Node versions it accepts; the first of them is fetched from npm when this Node is another).
 * @type {{ vscode: string, codeServer: string, nodes: string[] }[]}
 */
export const vscodeVersions = [
  { vscode: '1.139', codeServer: '4.139.1', nodes: ['24.21.0'] },
  { vscode: '1.99', codeServer: '4.99.4', nodes: ['20.20.2', '22'] },
];

/**
 * Installs a VS Code into the cache unless it is there already.
 * @param {string} version such as '1.139'
 * @returns {Promise<{ node: string, entry: string, version: string }>} the Node to run and the script to run with it
 */
export async function installVscode(version) {
  const wanted = vscodeVersions.find(({ vscode }) => vscode === version);
  if (wanted === undefined) {
    throw new HarnessError(`There is no VS Code ${version} here; known: ${vscodeVersions.map((v) => v.vscode).join(', ')}.`);
  }
  const node = await nodeFor(wanted.nodes);
  const home = path.join(cacheDir, `code-server-${wanted.codeServer}`);
  const server = path.join(home, 'node_modules', 'code-server');
  await once(home, `Installing VS Code ${version} (code-server ${wanted.codeServer}, about 300 MB, a minute or so)`, async () => {
    await npmInstall(home, [`code-server@${wanted.codeServer}`, '--ignore-scripts']);
    // The VS Code inside has its own dependencies, which code-server's install script would fetch.
    await npmInstall(path.join(server, 'lib', 'vscode'), ['--omit=dev', '--ignore-scripts'], true);
    replaceNativePackages(home);
  });
  return { node, entry: path.join(server, 'out', 'node', 'entry.js'), version };
}

/**
 * Stand-ins for three native packages that would have to be compiled: a password hasher (the server is started without
 * a password), a log writer and a watchdog. VS Code works without them, but fills its console with errors.
 * @param {string} home
 */
function replaceNativePackages(home) {
  const outer = path.join(home, 'node_modules');
  const inner = path.join(outer, 'code-server', 'lib', 'vscode', 'node_modules');
  standIn(path.join(outer, 'argon2'), '');
  standIn(path.join(inner, 'native-watchdog'), 'exports.start = () => undefined;');
  standIn(
    path.join(inner, '@vscode', 'spdlog'),
    `const logger = new Proxy({}, { get: (target, name) => (name === 'then' ? undefined : () => undefined) });
exports.version = '0';
exports.setLevel = () => undefined;
exports.setFlushOn = () => undefined;
exports.createRotatingLogger = async () => logger;
exports.createAsyncRotatingLogger = async () => logger;`,
  );
  // Later versions give the watchdog a new name.
  standIn(path.join(inner, '@vscode', 'native-watchdog'), 'exports.start = () => undefined;');
}

/** @param {string} folder of an installed package, if it is one @param {string} source its new content */
function standIn(folder, source) {
  if (!fs.existsSync(folder)) return;
  fs.writeFileSync(path.join(folder, 'package.json'), '{ "version": "0.0.0", "main": "standIn.js" }\n');
  fs.writeFileSync(path.join(folder, 'standIn.js'), `${source}\n`);
}

/**
 * @param {string[]} accepted versions, the preferred one first
 * @returns {Promise<string>} path of a Node of one of these major versions
 */
async function nodeFor(accepted) {
  const majors = accepted.map((version) => version.split('.')[0]);
  if (majors.includes(process.versions.node.split('.')[0])) return process.execPath;
  const version = accepted[0];
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const name = `node-${platform}-${process.arch}`;
  const home = path.join(cacheDir, `node-${version}`);
  await once(home, `Installing Node ${version} for it`, () => npmInstall(home, [`${name}@${version}`]));
  const bin = path.join(home, 'node_modules', name, 'bin');
  return path.join(bin, process.platform === 'win32' ? 'node.exe' : 'node');
}

/**
 * Runs `install` unless it ran to its end before; an interrupted installation starts afresh.
 * @param {string} home @param {string} message @param {() => Promise<void>} install
 */
async function once(home, message, install) {
  const stamp = path.join(home, '.installed');
  if (fs.existsSync(stamp)) return;
  progress(message);
  fs.rmSync(home, { recursive: true, force: true });
  fs.mkdirSync(home, { recursive: true });
  await install();
  fs.writeFileSync(stamp, '');
}

/** @param {string} folder @param {string[]} args @param {boolean} [ownPackage] the folder has its package.json already */
async function npmInstall(folder, args, ownPackage = false) {
  if (!ownPackage) fs.writeFileSync(path.join(folder, 'package.json'), '{ "private": true }\n');
  const command = npm(['install', ...args, '--no-fund', '--no-audit', '--no-package-lock']);
  await runOrFail(`Installing into ${folder}`, command.program, command.args, { cwd: folder, env: cleanEnvironment(), quiet: true });
}

/** npm passes the settings of the surrounding `npm run` down in npm_* variables; those of a script do not belong here. */
function cleanEnvironment() {
  const kept = Object.entries(process.env).filter(([name]) => !/^npm_(lifecycle|package|command)/.test(name));
  return Object.fromEntries(kept);
}

if (isMain(import.meta.url)) {
  runMain(async () => {
    for (const { vscode } of vscodeVersions) await installVscode(vscode);
  });
}
