import assert from 'node:assert';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(__dirname, '../..');

/** Who may import whom, by longest matching folder. What is not listed may not be imported. */
const coreStages = ['graph', 'formats', 'particles', 'data', 'evaluate', 'attributes', 'behaviour', 'optimise', 'train', 'loop', 'source', 'charts'];

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

/** Every reason an import is wrong; undefined when it is right. Paths are relative to the root, with '/'. */
function objection({ from, to, typeOnly }: Import): string | undefined {
  if (from.startsWith('src/core/')) return coreObjection(from, to);
  if (from.startsWith('src/engines/')) return allow(to, ['src/engines/', 'src/core/'], 'engines import core only: they implement the port in core/graph/engine.ts');
  if (from.startsWith('src/compute/')) return allow(to, ['src/compute/', 'src/engines/', 'src/core/'], 'compute knows nothing of VS Code: let the host call it through compute/protocol.ts');
  if (from.startsWith('src/host/')) return hostObjection(from, to);
  if (from.startsWith('src/cli')) return allow(to, ['src/cli', 'src/compute/', 'src/engines/', 'src/core/'], 'the command line works without VS Code: it may not import host');
  if (from === 'src/extension.ts') return allow(to, ['src/host/', 'src/compute/'], 'extension.ts only registers host features');
  if (from.startsWith('webview/')) return webviewObjection(to, typeOnly);
  return undefined;
}

function coreObjection(from: string, to: string): string | undefined {
  if (!to.startsWith('src/')) {
    return to.startsWith('node:') || to === 'vscode' ? `core is pure, it runs anywhere: pass a port in instead of importing ${to}` : undefined;
  }
  const outside = allow(to, ['src/core/'], 'core imports only core: what it needs from outside comes in through a port');
  if (outside) return outside;
  const [source, target] = [from, to].map((file) => coreStages.indexOf(file.split('/')[2]!)) as [number, number];
  if (from === 'src/core/pipeline.ts' || target <= source) return undefined;
  return `a stage may import earlier stages only (${coreStages.join(' < ')}): move what both need to the earlier one`;
}

function hostObjection(from: string, to: string): string | undefined {
  const feature = /^src\/host\/([^/]+)\//.exec(from)?.[1];
  const other = /^src\/host\/([^/]+)\//.exec(to)?.[1];
  if (feature && other && feature !== other) return 'no feature folder imports another: let them meet in host/services.ts';
  return allow(to, ['src/host/', 'src/compute/', 'src/core/'], 'the host never runs a model: ask the compute process');
}

function webviewObjection(to: string, typeOnly: boolean): string | undefined {
  if (!to.startsWith('src/')) return to.startsWith('node:') || to === 'vscode' ? `the webview runs in a browser: ${to} is not there` : undefined;
  if (to.startsWith('src/core/charts/')) return undefined;
  if (/^src\/(compute|core)\//.test(to) && typeOnly) return undefined;
  return 'the webview imports core/charts, and types only from compute and core: ask the host for the rest';
}

function allow(to: string, folders: readonly string[], lesson: string): string | undefined {
  return !to.startsWith('src/') || folders.some((folder) => to.startsWith(folder)) ? undefined : lesson;
}

describe('architecture: imports go one way', () => {
  const files = ['src', 'webview'].flatMap((folder) => sourceFiles(path.join(root, folder)));

  it('finds the code', () => assert.ok(files.length > 30, `only ${files.length} files found`));

  it('every import is allowed', () => {
    const wrong = files.flatMap((file) =>
      importsOf(file).flatMap((item) => {
        const lesson = objection(item);
        return lesson ? [`${item.from} imports ${item.to}: ${lesson}.`] : [];
      }),
    );
    assert.deepStrictEqual(wrong, [], `\n${wrong.join('\n')}\nsrc/README.md has the map.`);
  });

  it('the rules object to what they are there to stop', () => {
    const bad: Import[] = [
      { from: 'src/core/graph/x.ts', to: 'src/core/formats/onnx.ts', typeOnly: false },
      { from: 'src/core/graph/x.ts', to: 'node:fs', typeOnly: false },
      { from: 'src/core/behaviour/x.ts', to: 'src/engines/registry.ts', typeOnly: true },
      { from: 'src/host/tree/x.ts', to: 'src/host/panel/y.ts', typeOnly: false },
      { from: 'src/host/tree/x.ts', to: 'src/engines/registry.ts', typeOnly: false },
      { from: 'src/cli/x.ts', to: 'src/host/services.ts', typeOnly: false },
      { from: 'webview/panel/x.ts', to: 'src/compute/session.ts', typeOnly: false },
    ];
    for (const item of bad) assert.ok(objection(item), `${item.from} -> ${item.to} should be refused`);
  });

  it('no file is too long to read', () => {
    const long = files.filter((file) => readFileSync(file, 'utf8').split('\n').length > 450).map(relative);
    assert.deepStrictEqual(long, []);
  });
});

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name));
}

function importsOf(file: string): Import[] {
  const text = readFileSync(file, 'utf8');
  const pattern = /^\s*(?:import|export)\s+(type\s)?[^;'"]*?from\s+['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|^\s*import\s+['"]([^'"]+)['"]/gm;
  return [...text.matchAll(pattern)].map((match) => {
    const target = (match[2] ?? match[3] ?? match[4])!;
    const to = target.startsWith('.') ? relative(path.resolve(path.dirname(file), target)) : target;
    return { from: relative(file), to, typeOnly: match[1] !== undefined };
  });
}

function relative(file: string): string {
  return path.relative(root, file).split(path.sep).join('/');
}
