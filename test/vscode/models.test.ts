import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { commands } from '../../src/host/contributions';
import { layerNumbers } from '../../src/host/layerNumbers';
import { lensText } from '../../src/host/lens/lensText';
import { extension, sampleFile, until } from './extensionApi';

describe('models in the extension host', function () {
  this.timeout(60_000);

  after(async () => {
    const { services } = await extension();
    for (const model of services.models.all) await services.models.close(model);
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });

  it('the sample fills the store: layers, particles, columns from weights, and a panel', async () => {
    const { services } = await extension();
    await vscode.commands.executeCommand(commands.openFile, sampleFile('model.onnx'));
    const model = services.models.active;
    assert.ok(model);
    const counts = model.summary.layers.flatMap(({ particles }) => (particles ? [particles.count] : []));
    assert.deepEqual(counts, [16, 32, 64, 10]);
    assert.equal(model.summary.particleCount, 122);
    await until(() => model.column('l1') !== undefined, 'the columns from weights');
    const l1 = model.column('l1')!.values;
    assert.equal(l1.length, 122);
    assert.ok(l1.every((value) => value >= 0));
    await until(() => vscode.window.tabGroups.activeTabGroup.activeTab?.label === 'model.onnx', 'the panel');
    assert.ok(vscode.window.tabGroups.activeTabGroup.activeTab?.input instanceof vscode.TabInputWebview);
  });

  it('ids and rows belong together', async () => {
    const { services } = await extension();
    const model = await services.models.open(sampleFile('model.onnx'));
    for (let row = 0; row < model.summary.particleCount; row++) assert.equal(model.rowOf(model.idOf(row)), row);
    const [layer] = model.summary.layers.filter(({ particles }) => particles);
    assert.equal(model.rowOf(`${layer!.name}/kernel:16`), undefined);
  });

  it('opening again takes the open one', async () => {
    const { services } = await extension();
    const before = services.models.all.length;
    const again = await services.models.open(sampleFile('model.onnx'));
    assert.equal(services.models.all.length, before);
    assert.equal(again, services.models.active);
  });

  it('code lenses stand above the layers of all three definitions', async () => {
    const { services } = await extension();
    const model = await services.models.open(sampleFile('model.onnx'));
    for (const name of ['digits_torch.py', 'digits_keras.py', 'digitsTfjs.ts']) {
      const uri = sampleFile(name);
      await vscode.workspace.openTextDocument(uri);
      // Linking goes on beside typing: lenses come when it is done.
      const shown = async (): Promise<readonly (string | undefined)[]> => {
        const lenses = await vscode.commands.executeCommand<vscode.CodeLens[]>('vscode.executeCodeLensProvider', uri, 100);
        return lenses.filter(({ command }) => command?.command === commands.revealFromCode).map(({ command }) => /^\d+ \w+/.exec(command!.title)?.[0]);
      };
      for (const end = Date.now() + 20_000; (await shown()).length < 4 && Date.now() < end;) await new Promise((resolve) => setTimeout(resolve, 100));
      assert.deepEqual(await shown(), ['16 kernels', '32 kernels', '64 neurons', '10 neurons'], name);
    }
    const dense = model.summary.layers.find(({ particles }) => particles?.count === 64)!;
    const all = { particles: true, dead: true, redundant: true, harmless: true, macs: true };
    const numbers = layerNumbers(model, [dense])!;
    assert.match(lensText(numbers, all), /^64 neurons .*% of MACs$/);
    assert.match(lensText(numbers, { ...all, particles: false }), /^\d+ % of MACs$/, 'each part can be hidden');
    assert.equal(lensText(numbers, { ...all, particles: false, macs: false }), '');
  });

  it('go to definition finds the layer in the code', async () => {
    const { services } = await extension();
    const model = await services.models.open(sampleFile('model.onnx'));
    await until(() => model.sources.length === 3, 'three sources to be linked');
    assert.equal(vscode.workspace.asRelativePath(model.sources[0]!.uri), 'digits_torch.py', 'the model says that PyTorch made it');
  });

  it('a bad file gives one sentence that names it, and opens nothing', async () => {
    const { services } = await extension();
    const before = services.models.all;
    const whole = await vscode.workspace.fs.readFile(sampleFile('model.onnx'));
    const cases: Readonly<Record<string, Uint8Array>> = {
      'truncated.onnx': whole.slice(0, Math.floor(whole.length / 2)),
      'empty.onnx': new Uint8Array(),
      'garbled.onnx': new Uint8Array(4096).map((_, index) => (index * 151 + 7) % 256),
    };
    for (const [name, bytes] of Object.entries(cases)) {
      const uri = sampleFile(name);
      await vscode.workspace.fs.writeFile(uri, bytes);
      await assert.rejects(services.models.open(uri), (error: Error) => {
        // By name: the tests are a bundle of their own, with their own class.
        assert.equal(error.name, 'ParticlizeError', error.stack);
        assert.ok(error.message.includes(name), error.message);
        assert.doesNotMatch(error.message, /unexpected|undefined|\n/);
        return true;
      });
      await vscode.workspace.fs.delete(uri);
    }
    await assert.rejects(services.models.open(sampleFile('nowhere.onnx')), /nowhere\.onnx/);
    assert.deepEqual(services.models.all, before);
  });

  it('after a crash of the compute process the model answers again, and nothing was lost', async () => {
    const { services } = await extension();
    const model = await services.models.open(sampleFile('model.onnx'));
    await until(() => model.column('l1') !== undefined, 'the columns from weights');
    const before = [...model.column('l1')!.values];
    const { pid } = services.compute;
    assert.ok(pid);
    process.kill(pid, 'SIGKILL');
    await until(() => services.compute.pid === undefined, 'the end of the process');
    const [l2] = await services.compute.call('columns', { model: model.id, names: ['l2'] });
    assert.equal(l2?.values.length, 122);
    assert.notEqual(services.compute.pid, pid);
    assert.deepEqual([...model.column('l1')!.values], before);
  });

  it('closing leaves no model and no panel', async () => {
    const { services } = await extension();
    const model = await services.models.open(sampleFile('model.onnx'));
    await services.models.close(model);
    assert.equal(services.models.get(model.uri.fsPath), undefined);
    await until(() => !vscode.window.tabGroups.all.some(({ tabs }) => tabs.some(({ label }) => label === 'model.onnx')), 'the panel to close');
  });
});
