// @ts-check
// Packs the extension: node test/harness/package.mjs [--target linux-x64]… [--all]
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { build, ensureDependencies } from './dependencies.mjs';
import { repoRoot } from './paths.mjs';
import { HarnessError, isMain, runMain, runOrFail } from './processes.mjs';

/** The platforms that get a package of their own: those with a native runtime, and `web` with WebAssembly only. */
const targets = ['linux-x64', 'linux-arm64', 'darwin-arm64', 'darwin-x64', 'win32-x64', 'win32-arm64'];

/** What a package may hold; anything else in it is a mistake of .vscodeignore. */
const allowed = [
  /^\[Content_Types\]\.xml$/,
  /^extension\.vsixmanifest$/,
  /^extension\/(package\.json|package\.nls(\.[\w-]+)?\.json|readme\.md|changelog\.md|license(\.txt|\.md)?)$/i,
  /^extension\/dist\/(extension|cli|compute|weightWorker|sourceWorker)\.js$/,
  /^extension\/dist\/webview\/[\w-]+\.(js|css)$/,
  /^extension\/dist\/(ort-web|tfjs-wasm|tree-sitter|native|node_modules)\//,
  /^extension\/media\//,
];

/** What a package must hold to work at all. */
const required = ['package.json', 'dist/extension.js', 'dist/cli.js', 'dist/compute.js', 'dist/weightWorker.js', 'dist/sourceWorker.js', 'dist/webview/panel.js', 'dist/webview/renderer.js', 'dist/ort-web/ort-wasm-simd-threaded.wasm', 'media/samples/digits/model.onnx'];

/** @param {string} [target] @returns {string} the package's file for a platform */
export function vsixFile(target = currentTarget()) {
  const { name, version } = JSON.parse(fs.readFileSync(path.join(repoRoot, 'package.json'), 'utf8'));
  return path.join(repoRoot, `${name}-${target}-${version}.vsix`);
}

/** @returns {string} this machine's platform as packages name it */
export function currentTarget() {
  return `${process.platform}-${process.arch}`;
}

/** @param {string} target @returns {Promise<string>} the file */
async function packageFor(target) {
  await build(['--production', '--target', target]);
  const file = vsixFile(target);
  const vsce = path.join(repoRoot, 'node_modules', '@vscode', 'vsce', 'vsce');
  const args = [vsce, 'package', '--no-dependencies', '--allow-missing-repository', '--no-rewrite-relative-links'];
  await runOrFail('vsce package', process.execPath, [...args, '--target', target, '--out', file], { quiet: true });
  await checkContents(file);
  return file;
}

/** @param {string} file */
async function checkContents(file) {
  const { unzipSync } = await import('fflate');
  /** @type {string[]} */
  const names = [];
  // The filter sees every entry's name and unpacks none.
  unzipSync(fs.readFileSync(file), { filter: ({ name }) => names.push(name) < 0 });
  const entries = names.filter((name) => !name.endsWith('/'));
  const stray = entries.filter((name) => !allowed.some((pattern) => pattern.test(name)));
  if (stray.length > 0) throw new HarnessError(`${path.basename(file)} holds files that do not belong: ${stray.join(', ')}.`);
  const missing = required.filter((name) => !entries.includes(`extension/${name}`));
  if (missing.length > 0) throw new HarnessError(`${path.basename(file)} lacks ${missing.join(', ')}.`);
  const megabytes = fs.statSync(file).size / 1e6;
  console.log(`${path.basename(file)}: ${megabytes.toFixed(1)} MB, ${entries.length} files`);
}

if (isMain(import.meta.url)) {
  runMain(async () => {
    const { values } = parseArgs({
      options: { target: { type: 'string', multiple: true }, all: { type: 'boolean', default: false } },
    });
    await ensureDependencies();
    const wanted = values.all ? targets : (values.target ?? [currentTarget()]);
    for (const target of wanted) await packageFor(target);
  });
}
