// @ts-check
// Builds everything that ships into dist/: see `node esbuild.mjs --help`.
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import * as esbuild from 'esbuild';

const usage = `node esbuild.mjs [--production] [--watch] [--tests] [--sizes] [--target linux-x64]
  --production  minified, without source maps
  --watch       builds again at every change
  --tests       the tests that run inside VS Code's extension host as well
  --sizes       prints each bundle's size and its largest parts
  --target      the platform whose native ONNX Runtime is copied (default: this machine; "web" for none)`;

const { values: options } = parseArgs({
  options: {
    production: { type: 'boolean', default: false },
    watch: { type: 'boolean', default: false },
    tests: { type: 'boolean', default: false },
    sizes: { type: 'boolean', default: false },
    target: { type: 'string', default: `${process.platform}-${process.arch}` },
    help: { type: 'boolean', default: false },
  },
});

const root = import.meta.dirname;
const dist = path.join(root, 'dist');
const modules = path.join(root, 'node_modules');

if (options.help) {
  console.log(usage);
} else {
  await build();
}

async function build() {
  const started = performance.now();
  // Files of an earlier build must not ship; while developing, what runs from dist/ keeps running.
  fs.rmSync(options.production ? dist : path.join(dist, 'test'), { recursive: true, force: true });
  copyAssets();
  const contexts = await Promise.all(bundles().map((bundle) => esbuild.context(bundle)));
  if (options.watch) {
    await Promise.all(contexts.map((context) => context.watch()));
    console.log('Watching; Ctrl+C ends it.');
    return;
  }
  // Each bundle stands for itself: an error in one (esbuild has printed it with its place) leaves the others usable.
  const results = await Promise.allSettled(contexts.map((context) => context.rebuild()));
  await Promise.all(contexts.map((context) => context.dispose()));
  for (const result of results) {
    if (result.status === 'rejected') process.exitCode = 1;
    else if (options.sizes) printSizes(result.value);
  }
  if (process.exitCode === 1) return;
  console.log(`Built dist/ for ${options.target} in ${((performance.now() - started) / 1000).toFixed(1)} s.`);
}

/** @returns {esbuild.BuildOptions[]} */
function bundles() {
  /** @type {esbuild.BuildOptions} */
  const common = {
    absWorkingDir: root,
    bundle: true,
    minify: options.production,
    sourcemap: options.production ? false : 'linked',
    metafile: options.sizes,
    logLevel: 'warning',
    legalComments: 'none',
    loader: { '.svg': 'text' },
    define: { 'process.env.NODE_ENV': options.production ? '"production"' : '"development"' },
  };
  /** @type {esbuild.BuildOptions} */
  const node = {
    ...common,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    // ESM packages ask for import.meta.url, which a CommonJS bundle lacks.
    define: { ...common.define, 'import.meta.url': 'importMetaUrl' },
    banner: { js: 'const importMetaUrl = require("node:url").pathToFileURL(__filename).href;' },
    // Found at run time: VS Code's own module, and engines that live beside the bundle or in the user's own installation.
    external: ['vscode', 'onnxruntime-node', 'onnxruntime-web', '@tensorflow/tfjs-node'],
  };
  /** @type {esbuild.BuildOptions} */
  const browser = { ...common, platform: 'browser', target: 'es2022' };

  /** @type {esbuild.BuildOptions[]} */
  const all = [
    {
      ...node,
      entryPoints: present({ extension: 'src/extension.ts', cli: 'src/cli.ts', compute: 'src/compute/main.ts', weightWorker: 'src/compute/weightWorker.ts', sourceWorker: 'src/compute/sourceWorker.ts' }),
      outdir: dist,
    },
    {
      ...browser,
      format: 'iife',
      entryPoints: present({ panel: 'webview/panel/main.ts' }),
      outdir: path.join(dist, 'webview'),
    },
    {
      ...browser,
      format: 'esm',
      entryPoints: present({ renderer: 'webview/notebook/renderer.ts' }),
      outdir: path.join(dist, 'webview'),
    },
    ...(options.tests ? [extensionHostTests(node)] : []),
  ];
  return all.filter((bundle) => Object.keys(bundle.entryPoints ?? {}).length > 0);
}

/** Every test/vscode/*.test.ts becomes a file beside the entry, which finds them there: no list to keep. */
function extensionHostTests(/** @type {esbuild.BuildOptions} */ node) {
  const folder = path.join(root, 'test', 'vscode');
  const names = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
  const files = names.filter((name) => name === 'index.ts' || name.endsWith('.test.ts'));
  /** @type {esbuild.BuildOptions} */
  const bundle = {
    ...node,
    minify: false,
    packages: 'external',
    entryPoints: Object.fromEntries(files.map((name) => [name.slice(0, -'.ts'.length), `test/vscode/${name}`])),
    outdir: path.join(dist, 'test', 'vscode'),
  };
  return bundle;
}

/** @param {Record<string, string>} entries output name to source file @returns the entries whose source exists */
function present(entries) {
  const found = Object.entries(entries).filter(([, file]) => {
    const exists = fs.existsSync(path.join(root, file));
    if (!exists) console.log(`There is no ${file} yet: left out.`);
    return exists;
  });
  return Object.fromEntries(found);
}

/** Files that are loaded at run time and therefore not bundled. */
function copyAssets() {
  copyPackageFiles('onnxruntime-web', 'dist', 'ort-web', [
    'ort.node.min.js',
    'ort-wasm-simd-threaded.mjs',
    'ort-wasm-simd-threaded.wasm',
  ]);
  copyPackageFiles('@tensorflow/tfjs-backend-wasm', 'dist', 'tfjs-wasm', [
    'tfjs-backend-wasm.wasm',
    'tfjs-backend-wasm-simd.wasm',
    'tfjs-backend-wasm-threaded-simd.wasm',
  ]);
  copyPackageFiles('@vscode/tree-sitter-wasm', 'wasm', 'tree-sitter', [
    'tree-sitter.js',
    'tree-sitter.wasm',
    'tree-sitter-python.wasm',
    'tree-sitter-javascript.wasm',
    'tree-sitter-typescript.wasm',
    'tree-sitter-tsx.wasm',
  ]);
  copyCommonRuntime();
  copyNativeRuntime();
}

/** @param {string} name @param {string} from folder in the package @param {string} to folder in dist @param {string[]} files */
function copyPackageFiles(name, from, to, files) {
  const folder = path.join(modules, name, from);
  if (!fs.existsSync(folder)) {
    console.log(`${name} is not installed: left out.`);
    return;
  }
  for (const file of files) copy(path.join(folder, file), path.join(dist, to, file));
}

/**
 * onnxruntime-node laid out as when installed, but with one platform's binary: the npm package holds all of them
 * (288 MB), an installed extension needs one.
 */
function copyNativeRuntime() {
  const from = path.join(modules, 'onnxruntime-node');
  const to = path.join(dist, 'native', 'node_modules');
  const binary = path.join('bin', 'napi-v6', ...options.target.split('-'));
  if (!fs.existsSync(path.join(from, binary))) {
    fs.rmSync(to, { recursive: true, force: true });
    const reason = fs.existsSync(from) ? `has no binary for ${options.target}` : 'is not installed';
    console.log(`onnxruntime-node ${reason}: models run on WebAssembly.`);
    return;
  }
  copyScripts(path.join(from, 'dist'), path.join(to, 'onnxruntime-node', 'dist'));
  copy(path.join(from, 'package.json'), path.join(to, 'onnxruntime-node', 'package.json'));
  copy(path.join(from, binary), path.join(to, 'onnxruntime-node', binary));
}

/** Both runtimes ask for onnxruntime-common by name; Node looks for it in every node_modules folder further up. */
function copyCommonRuntime() {
  const from = path.join(modules, 'onnxruntime-common');
  const to = path.join(dist, 'node_modules');
  if (!fs.existsSync(from)) return;
  copyScripts(path.join(from, 'dist', 'cjs'), path.join(to, 'onnxruntime-common', 'dist', 'cjs'));
  copy(path.join(from, 'package.json'), path.join(to, 'onnxruntime-common', 'package.json'));
}

/** Copies the JavaScript of a folder without its type declarations and source maps. */
function copyScripts(/** @type {string} */ from, /** @type {string} */ to) {
  fs.cpSync(from, to, {
    recursive: true,
    filter: (file) => fs.statSync(file).isDirectory() || /\.js$|package\.json$/.test(file),
  });
}

/** Hard-links where the disk allows it: the native library alone has 45 MB. */
function copy(/** @type {string} */ from, /** @type {string} */ to) {
  fs.mkdirSync(path.dirname(to), { recursive: true });
  if (fs.statSync(from).isDirectory()) {
    for (const name of fs.readdirSync(from)) copy(path.join(from, name), path.join(to, name));
    return;
  }
  if (fs.existsSync(to) && fs.statSync(to).ino === fs.statSync(from).ino) return;
  fs.rmSync(to, { force: true });
  try {
    fs.linkSync(from, to);
  } catch {
    fs.copyFileSync(from, to);
  }
}

function printSizes(/** @type {esbuild.BuildResult} */ result) {
  for (const [file, output] of Object.entries(result.metafile?.outputs ?? {})) {
    if (file.endsWith('.map')) continue;
    console.log(`${kilobytes(output.bytes)}  ${file}`);
    /** @type {Map<string, number>} */
    const parts = new Map();
    for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) {
      const part = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1] ?? input.split('/').slice(0, 2).join('/');
      parts.set(part, (parts.get(part) ?? 0) + bytesInOutput);
    }
    const largest = [...parts].sort(([, a], [, b]) => b - a).slice(0, 8);
    for (const [part, bytes] of largest) console.log(`    ${kilobytes(bytes)}  ${part}`);
  }
}

function kilobytes(/** @type {number} */ bytes) {
  return `${(bytes / 1000).toFixed(0)} kB`.padStart(9);
}
