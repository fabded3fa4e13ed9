import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { commands } from '../../src/host/contributions';
import { extension } from './extensionApi';

describe('activation', () => {
  it('registers exactly the contributed commands', async () => {
    await extension();
    const registered = (await vscode.commands.getCommands(true)).filter((id) => /^particlize\.\w+$/.test(id)).sort();
    assert.deepEqual(registered, Object.values(commands).sort());
  });

  it('starts no compute process', async () => {
    const { services } = await extension();
    if (services.models.all.length === 0) assert.equal(services.compute.pid, undefined);
  });
});
