import { openWorkbench } from '../harness/openWorkbench.mjs';
import type { Workbench } from '../harness/workbench.mjs';
import { median, milliseconds, type Bench, type Row } from './measure';

const rounds = 3;

/**
 * What a user waits for, measured in a real VS Code (code-server in headless Chromium). The first webview of a window takes
 * VS Code itself seconds to prepare, so both sides are measured in windows of their own, and again in one that has shown one.
 */
export const bench: Bench = {
  title: 'Starting and opening, in a real VS Code',
  async run() {
    const first = { ours: [] as number[], theirs: [] as number[] };
    const later = { ours: [] as number[], theirs: [] as number[] };
    let activation: ReadonlyMap<string, number> = new Map();
    for (let round = 0; round < rounds; round++) {
      await inWindow(async (workbench) => {
        first.ours.push(await fromClickToParticles(workbench));
        later.theirs.push(await fromClickToPreview(workbench));
        activation = await activationTimes(workbench);
      });
      await inWindow(async (workbench) => {
        first.theirs.push(await fromClickToPreview(workbench));
        later.ours.push(await fromClickToParticles(workbench));
      });
    }
    const row = (what: string, { ours, theirs }: typeof first): Row => ({
      what, ours: milliseconds(median(ours)), against: 'VS Code\'s own preview of README.md', theirs: milliseconds(median(theirs)),
      ratio: `${(median(ours) / median(theirs)).toFixed(2)} times as long`,
    });
    const rows = [
      row('from the click on Particlize to the first particles, in a new window', first),
      row('the same where a webview was shown before', later),
    ];
    const own = activation.get('particlize');
    for (const [name, time] of activation) {
      if (name === 'particlize' || own === undefined) continue;
      rows.push({
        what: 'activation of the extension', ours: milliseconds(own), against: `VS Code's own ${name}`, theirs: milliseconds(time),
        ratio: `${(own / Math.max(time, 0.5)).toFixed(2)} times as long`,
      });
    }
    return rows;
  },
};

async function inWindow(work: (workbench: Workbench) => Promise<void>): Promise<void> {
  const workbench = await openWorkbench({});
  try {
    // Menus are whole only when VS Code has read the extensions' contributions.
    await workbench.waitFor(async () => (await workbench.contextMenuLabels(workbench.explorerRow('model.onnx'))).includes('Particlize'), 'the menu');
    await work(workbench);
  } finally {
    await workbench.close();
  }
}

/** Right-clicks, waits until the menu listens, and times from the click on. */
async function fromClick(workbench: Workbench, file: string, label: string, shown: () => Promise<unknown>): Promise<number> {
  await workbench.showView('Explorer');
  await workbench.explorerRow(file).click({ button: 'right' });
  const item = workbench.page.locator('.monaco-menu .action-item', { hasText: label }).first();
  await item.hover();
  await workbench.page.waitForTimeout(300);
  const start = performance.now();
  await item.click();
  await shown();
  return performance.now() - start;
}

function fromClickToPreview(workbench: Workbench): Promise<number> {
  return fromClick(workbench, 'README.md', 'Open Preview', async () => {
    const preview = await workbench.webviewOfTab('README.md');
    await preview.locator('h1').first().waitFor();
  });
}

function fromClickToParticles(workbench: Workbench): Promise<number> {
  return fromClick(workbench, 'model.onnx', 'Particlize', async () => {
    const panel = await workbench.webviewOfTab('model.onnx');
    await panel.locator('[role=grid][aria-rowcount="4"]').waitFor();
  });
}

/** Activation times as VS Code measured them: its page "Running Extensions". */
async function activationTimes(workbench: Workbench): Promise<ReadonlyMap<string, number>> {
  await workbench.runCommand('Developer: Show Running Extensions');
  const list = workbench.page.locator('.runtime-extensions-editor .monaco-list-row');
  await list.first().waitFor();
  await workbench.page.waitForTimeout(1000);
  const found = new Map<string, number>();
  for (const text of await list.allInnerTexts()) {
    const name = text.split('\n')[0]!.trim().replace(/^particlize\..*|^Particlize$/, 'particlize');
    const time = /(?:Activation|Startup Activation): (\d+)\s*ms/.exec(text.replaceAll('\u00a0', ' '));
    if (name && time && /^particlize|JSON|TypeScript|^Git$/.test(name)) found.set(name, Number(time[1]));
  }
  return found;
}
