import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { openWorkbench } from '../harness/openWorkbench.mjs';
import type { Workbench } from '../harness/workbench.mjs';
import { longPython } from '../vscode/scenarios/support/codeFiles';
import { median, milliseconds, type Bench, type Row } from './measure';

const rounds = 5;
const lines = 2000;
const file = 'long.py';

/** A provider that looks at one line: what VS Code itself needs for any lens. */
const trivialExtension = `
const vscode = require('vscode');
exports.activate = () => vscode.languages.registerCodeLensProvider({ language: 'python' }, {
  provideCodeLenses: (document) => document.lineAt(16).text.trim().startsWith('#') ? [] : [
    new vscode.CodeLens(document.lineAt(16).range, { title: '16 kernels, trivially', command: '' }),
  ],
});`;

interface Times {
  readonly opening: number[];
  readonly typing: number[];
}

/**
 * Lenses of a file of 2,000 lines in a real VS Code, beside those of a provider that does nothing: from choosing the file to
 * the first lens, and from a key that brings a layer back (its line is no comment any more) to its lens.
 */
export const bench: Bench = {
  title: `Code lenses in a file of ${lines.toLocaleString('en')} lines, in a real VS Code`,
  async run() {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'particlize-trivial-'));
    writeFileSync(path.join(folder, 'package.json'), JSON.stringify({
      name: 'trivial', publisher: 'bench', version: '0.0.1', engines: { vscode: '^1.90.0' }, main: './main.js', activationEvents: ['*'], contributes: {},
    }));
    writeFileSync(path.join(folder, 'main.js'), trivialExtension);
    try {
      const ours = await measure(undefined);
      const theirs = await measure(folder);
      const row = (what: string, own: number[], other: number[]): Row => ({
        what, ours: milliseconds(median(own)), against: 'a provider of one lens that reads nothing', theirs: milliseconds(median(other)),
        ratio: `${milliseconds(Math.max(0, median(own) - median(other)))} more`,
      });
      return [
        row('from choosing the file to its lenses', ours.opening, theirs.opening),
        row('from a key to the lens that it brings back', ours.typing, theirs.typing),
      ];
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function measure(extension: string | undefined): Promise<Times> {
  const workbench = await openWorkbench({
    extension, settings: { 'particlize.startup.open': 'model.onnx', 'editor.autoIndent': 'none', 'files.autoSave': 'off' },
  });
  try {
    if (extension === undefined) await workbench.statusBarItem(/model\.onnx · /).waitFor();
    const definition = readFileSync(path.join(workbench.folder, 'digits_torch.py'), 'utf8');
    mkdirSync(path.join(workbench.folder, 'long'));
    const times: Times = { opening: [], typing: [] };
    for (let round = 0; round <= rounds; round++) {
      // A file that has not been seen: nothing is remembered of it.
      const name = `long/${round}-${file}`;
      writeFileSync(path.join(workbench.folder, name), longPython(definition, lines));
      times.opening.push(await opening(workbench, name));
      times.typing.push(await typing(workbench, definition.split('\n').findIndex((line) => line.includes('self.conv1 =')) + 1));
      await workbench.runCommand('File: Revert File');
      await workbench.runCommand('View: Close All Editors');
    }
    // The first round warms up: grammars, threads, VS Code's own caches.
    return { opening: times.opening.slice(1), typing: times.typing.slice(1) };
  } finally {
    await workbench.close();
  }
}

/** In the page: from the next key to the moment at which the lens shows. */
function untilLens(workbench: Workbench): Promise<number> {
  return workbench.page.evaluateHandle(() => {
    const shown = (): boolean => [...document.querySelectorAll('.codelens-decoration a')].some((lens) => lens.textContent?.includes('16 kernels'));
    const time = new Promise<number>((resolve) => {
      addEventListener('keydown', () => {
        const start = performance.now();
        const look = (): unknown => (shown() ? resolve(performance.now() - start) : requestAnimationFrame(look));
        look();
      }, { capture: true, once: true });
    });
    return { time };
  }).then((handle) => handle.evaluate(({ time }) => time));
}

async function opening(workbench: Workbench, name: string): Promise<number> {
  await workbench.page.keyboard.press('ControlOrMeta+P');
  await workbench.typeQuickInput(name, false);
  await workbench.page.locator('.quick-input-list .monaco-list-row', { hasText: path.basename(name) }).first().waitFor();
  const time = untilLens(workbench);
  await workbench.page.waitForTimeout(300);
  await workbench.page.keyboard.press('Enter');
  return time;
}

async function typing(workbench: Workbench, line: number): Promise<number> {
  await workbench.runCommand('Go to Line/Column...');
  await workbench.typeQuickInput(`:${line}:9`);
  await workbench.page.locator('.quick-input-widget').first().waitFor({ state: 'hidden' });
  await workbench.page.keyboard.type('#');
  await workbench.codeLens(/16 kernels/).waitFor({ state: 'detached' });
  await workbench.page.waitForTimeout(1000);
  const time = untilLens(workbench);
  await workbench.page.waitForTimeout(300);
  await workbench.page.keyboard.press('Backspace');
  return time;
}
