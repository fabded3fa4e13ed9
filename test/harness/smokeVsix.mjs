// @ts-check
// Installs the packed extension into a VS Code that has nothing else, and opens a model with it:
// node test/harness/smokeVsix.mjs [FILE.vsix]
import fs from 'node:fs';
import { HarnessError, progress, runMain } from './processes.mjs';
import { vsixFile } from './package.mjs';

runMain(async () => {
  const vsix = process.argv[2] ?? vsixFile();
  if (!fs.existsSync(vsix)) throw new HarnessError(`There is no ${vsix}; "npm run package" makes it.`);
  const { openWorkbench } = await import('./openWorkbench.mjs');
  const { startVscodeServer } = await import('./vscodeServer.mjs');
  const server = await startVscodeServer('1.139', { installVsix: vsix });
  try {
    const workbench = await openWorkbench({ server, extension: '' });
    try {
      await workbench.explorerContextMenu('model.onnx', 'Particlize');
      await workbench.showView('Particlize');
      const layer = workbench.page.locator('.sidebar .monaco-list-row', { hasText: /conv/i }).first();
      await layer.waitFor();
      progress(`The packed extension shows model.onnx: ${(await layer.innerText()).replaceAll('\n', ' ')} …`);
    } catch (error) {
      await workbench.screenshot('smoke-failed');
      throw error;
    } finally {
      await workbench.close();
    }
  } finally {
    await server.stop();
  }
});
