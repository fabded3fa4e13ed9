import type * as vscode from 'vscode';
import { registerCode } from './host/code/registerCode';
import { registerCodeActions } from './host/codeActions/registerCodeActions';
import { registerCommands } from './host/commands/registerCommands';
import { registerDiagnostics } from './host/diagnostics/registerDiagnostics';
import { registerDiscovery } from './host/discovery/registerDiscovery';
import { registerEdits } from './host/edits/registerEdits';
import { registerFileWatch } from './host/fileWatch/registerFileWatch';
import { registerHover } from './host/hover/registerHover';
import { registerLens } from './host/lens/registerLens';
import { registerPanel } from './host/panel/registerPanel';
import { registerRounds } from './host/rounds/registerRounds';
import { createServices, type Services } from './host/services';
import { registerStartup } from './host/startup/registerStartup';
import { registerStatus } from './host/status/registerStatus';
import { registerTrain } from './host/train/registerTrain';
import { registerTree } from './host/tree/registerTree';

/** Every face of Particlize in VS Code; a new one is one folder and one line here. */
const features: readonly ((services: Services) => vscode.Disposable)[] = [
  registerTree,
  registerPanel,
  registerLens,
  registerHover,
  registerDiagnostics,
  registerCodeActions,
  registerCode,
  registerEdits,
  registerRounds,
  registerTrain,
  registerStatus,
  registerCommands,
  registerDiscovery,
  registerFileWatch,
  registerStartup,
];

/** For the tests that run inside the extension host. */
export interface ParticlizeApi {
  readonly services: Services;
}

export function activate(context: vscode.ExtensionContext): ParticlizeApi {
  const services = createServices(context);
  context.subscriptions.push(services, ...features.map((register) => register(services)));
  return { services };
}
