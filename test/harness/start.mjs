// @ts-check
// From a fresh clone to a model taken apart: node test/harness/start.mjs [--headless]
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { build, ensureDependencies } from './dependencies.mjs';
import { vscodeVersions } from './installVscode.mjs';
import { cacheDir, distDir, repoRoot, sampleDir } from './paths.mjs';
import { findOnPath, HarnessError, progress, runMain, runOrFail } from './processes.mjs';
import { addWorkspaceSettings, copySampleWorkspace } from './sampleWorkspace.mjs';

const cli = path.join(distDir, 'cli.js');
const model = path.join(sampleDir, 'model.onnx');
const recipe = path.join(sampleDir, 'digits.particlize.json');

runMain(async () => {
  const { values } = parseArgs({ options: { headless: { type: 'boolean', default: false } } });
  await ensureDependencies();
  await build();

  progress('The sample model, a network that reads handwritten digits, and its particles:');
  await runOrFail('Listing the particles', process.execPath, [cli, 'particles', model]);
  progress('Looking for what it does not need:');
  console.log(bestSuggestion());

  if (values.headless) {
    const report = path.join(repoRoot, 'particlize-report.html');
    await runOrFail('The report', process.execPath, [cli, 'report', model, '--data', recipe, '--out', report]);
    console.log(`Report: ${report}`);
    return;
  }

  const workspace = sampleCopy();
  const code = findOnPath('code');
  if (code !== undefined) {
    openDesktop(code, workspace);
    console.log(`Opened ${workspace} in VS Code.`);
    return;
  }
  await serveInBrowser(workspace);
});

/** Asks the command line for suggestions and says the first, which is the best. */
function bestSuggestion() {
  const args = [cli, 'suggest', model, '--data', recipe, '--json'];
  const result = spawnSync(process.execPath, args, { cwd: repoRoot, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (result.status !== 0) throw new HarnessError(`No suggestion: ${result.stderr.trim()}`);
  const { baseline, suggestions } = JSON.parse(result.stdout);
  const best = suggestions[0];
  if (best === undefined) return 'Nothing to remove within the allowed drop.';
  const count = (/** @type {number} */ number) => number.toLocaleString('en');
  const change = (/** @type {'parameters' | 'macs'} */ name) => (baseline === undefined ? '' : `${count(baseline[name])} → `) + count(best.predicted[name]);
  return [
    `Best suggestion (${best.id}): remove ${best.particles.length} particles. ${best.evidence}`,
    `  parameters ${change('parameters')}, multiply-accumulates ${change('macs')}`,
  ].join('\n');
}

/** The sample as the user's own to change: copied once, so that their changes and the repository both stay. */
function sampleCopy() {
  const folder = path.join(cacheDir, 'sample');
  if (!fs.existsSync(folder)) copySampleWorkspace(folder);
  addWorkspaceSettings(folder, { 'particlize.startup.open': 'model.onnx' });
  return folder;
}

/** @param {string} code @param {string} workspace */
function openDesktop(code, workspace) {
  const args = ['--new-window', `--extensionDevelopmentPath=${repoRoot}`, workspace];
  const isScript = process.platform === 'win32' && !code.endsWith('.exe');
  const quoted = isScript ? args.map((argument) => `"${argument}"`) : args;
  const { status } = spawnSync(isScript ? `"${code}"` : code, quoted, { stdio: 'inherit', shell: isScript });
  if (status !== 0) throw new HarnessError(`"code" ended with exit code ${status}; could not open VS Code.`);
}

/** @param {string} workspace */
async function serveInBrowser(workspace) {
  const { startVscodeServer } = await import('./vscodeServer.mjs');
  const { uriPath } = await import('./devExtension.mjs');
  const dataDir = path.join(cacheDir, 'start');
  linkExtension(path.join(dataDir, 'extensions'));
  const server = await startVscodeServer(/** @type {any} */ (vscodeVersions[0]).vscode, { dataDir, preferredPort: 8391 });
  const address = `${server.url}/?folder=${encodeURIComponent(uriPath(workspace))}`;
  console.log(`\nVS Code with Particlize and the sample: ${address}\nCtrl+C ends it.`);
  openInBrowser(address);
  await new Promise((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  await server.stop();
}

/** Installs the extension as a link to this repository, so that a rebuild and a reload show a change. @param {string} extensions */
function linkExtension(extensions) {
  fs.rmSync(extensions, { recursive: true, force: true });
  fs.mkdirSync(extensions, { recursive: true });
  const { publisher, name, version } = JSON.parse(fs.readFileSync(path.join(repoRoot, 'package.json'), 'utf8'));
  fs.symlinkSync(repoRoot, path.join(extensions, `${publisher}.${name}-${version}`), 'junction');
}

/** Where there is a desktop, its browser shows the address at once. @param {string} address */
function openInBrowser(address) {
  if (process.platform === 'linux' && process.env.DISPLAY === undefined && process.env.WAYLAND_DISPLAY === undefined) return;
  const openers = { darwin: 'open', win32: 'explorer.exe' };
  const opener = findOnPath(openers[/** @type {'darwin'} */ (process.platform)] ?? 'xdg-open');
  if (opener !== undefined) spawn(opener, [address], { stdio: 'ignore', detached: true }).on('error', () => undefined).unref();
}
