import { spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import * as vscode from 'vscode';
import type { CallOptions } from '../../compute/client';
import { CancelledError, ParticlizeError } from '../../core/graph/errors';

export interface TrainCommandPlaces {
  readonly weights: string;
  readonly source?: string;
  readonly out: string;
}

/** A file that was written may show on a network drive a moment after its process has ended. */
const lateMs = 5000;

/**
 * Runs the user's own training as a task, and resolves when it has ended well and its file is there. Rejects with a
 * ParticlizeError when it fails or writes nothing, with a CancelledError when it is cancelled: then the task is ended.
 */
export async function runTrainCommand(command: string, places: TrainCommandPlaces, { signal, progress }: CallOptions): Promise<void> {
  const line = commandLine(command, places);
  const folder = vscode.workspace.getWorkspaceFolder(vscode.Uri.file(places.weights)) ?? vscode.workspace.workspaceFolders?.[0];
  const task = new vscode.Task(
    { type: 'particlize', out: places.out }, folder ?? vscode.TaskScope.Workspace, vscode.l10n.t('Train {0}', path.basename(places.weights)), 'Particlize',
    new vscode.CustomExecution(async () => shellTerminal(line, folder?.uri.fsPath ?? path.dirname(places.weights))),
  );
  task.presentationOptions = { reveal: vscode.TaskRevealKind.Silent, panel: vscode.TaskPanelKind.Dedicated };
  const written = watchFile(places.out, () => progress?.(0, 0, vscode.l10n.t('{0} was written', path.basename(places.out))));
  try {
    progress?.(0, 0, line);
    const code = await runTask(task, signal);
    if (code !== 0) {
      throw new ParticlizeError({ file: 'particlize.train.command', cause: `the training command ended with ${code === undefined ? 'no exit code' : `exit code ${code}`}`, action: 'Its terminal says why' });
    }
    if (!await written.wait(lateMs)) {
      throw new ParticlizeError({ file: 'particlize.train.command', cause: `the training command ended without writing ${places.out}`, action: 'Have it write to the file that ${out} stands for' });
    }
  } finally {
    written.dispose();
  }
}

/** Paths are quoted for the shell; a placeholder that has no value is an error. */
export function commandLine(command: string, places: TrainCommandPlaces): string {
  return command.replace(/"?\$\{(weights|source|out)\}"?/g, (_, name: keyof TrainCommandPlaces) => {
    const value = places[name];
    if (value !== undefined) return quoted(value);
    throw new ParticlizeError({ file: 'particlize.train.command', cause: 'no code that defines this model was found for ${source}', action: 'Open its folder, or leave ${source} out of the command' });
  });
}

function quoted(value: string): string {
  return process.platform === 'win32' ? `"${value.replaceAll('"', '')}"` : `'${value.replaceAll('\'', '\'\\\'\'')}'`;
}

/** A task's terminal around a shell; unlike VS Code's own it tells the exit code also where terminals have no pseudo-terminals. */
function shellTerminal(line: string, cwd: string): vscode.Pseudoterminal {
  const [written, closed] = [new vscode.EventEmitter<string>(), new vscode.EventEmitter<number>()];
  let child: ChildProcess | undefined;
  const show = (chunk: unknown): void => written.fire(String(chunk).replace(/\r?\n/g, '\r\n'));
  return {
    onDidWrite: written.event,
    onDidClose: closed.event,
    open() {
      show(`> ${line}\n`);
      // A group of its own, so that what the shell starts ends with it.
      child = spawn(line, { cwd, shell: true, detached: process.platform !== 'win32', stdio: ['ignore', 'pipe', 'pipe'] });
      child.stdout?.on('data', show);
      child.stderr?.on('data', show);
      child.on('error', (error) => {
        show(`${error.message}\n`);
        closed.fire(127);
      });
      child.on('exit', (code) => closed.fire(code ?? 1));
    },
    close() {
      if (!child?.pid || child.exitCode !== null) return;
      try {
        if (process.platform === 'win32') spawn('taskkill', ['/pid', String(child.pid), '/T', '/F'], { stdio: 'ignore' });
        else process.kill(-child.pid, 'SIGTERM');
      } catch {
        // It has just ended.
      }
    },
  };
}

async function runTask(task: vscode.Task, signal: AbortSignal | undefined): Promise<number | undefined> {
  if (signal?.aborted) throw new CancelledError();
  let started: vscode.TaskExecution | undefined;
  return new Promise<number | undefined>((resolve, reject) => {
    const subscriptions: vscode.Disposable[] = [];
    const end = (settle: () => void): void => {
      signal?.removeEventListener('abort', cancel);
      subscriptions.forEach((each) => each.dispose());
      settle();
    };
    const cancel = (): void => {
      started?.terminate();
      end(() => reject(new CancelledError()));
    };
    const own = (execution: vscode.TaskExecution): boolean => execution === started || execution.task.definition['out'] === task.definition['out'];
    subscriptions.push(
      vscode.tasks.onDidEndTaskProcess(({ execution, exitCode }) => own(execution) && end(() => resolve(exitCode))),
      // A task that never became a process has no exit code.
      vscode.tasks.onDidEndTask(({ execution }) => own(execution) && setTimeout(() => end(() => resolve(undefined)), 500)),
    );
    signal?.addEventListener('abort', cancel, { once: true });
    vscode.tasks.executeTask(task).then((execution) => {
      started = execution;
      if (signal?.aborted) execution.terminate();
    }, (error: unknown) => end(() => reject(error instanceof Error ? error : new Error(String(error)))));
  });
}

/** Whether the file has come to be there. */
function watchFile(file: string, seen: () => void): vscode.Disposable & { wait(ms: number): Promise<boolean> } {
  const watcher = vscode.workspace.createFileSystemWatcher(new vscode.RelativePattern(vscode.Uri.file(path.dirname(file)), path.basename(file)));
  let listener: (() => void) | undefined;
  const changed = (): void => {
    seen();
    listener?.();
  };
  const subscriptions = vscode.Disposable.from(watcher, watcher.onDidCreate(changed), watcher.onDidChange(changed));
  const isThere = (): Promise<boolean> => Promise.resolve(vscode.workspace.fs.stat(vscode.Uri.file(file)).then(() => true, () => false));
  return {
    async wait(ms) {
      if (await isThere()) return true;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        listener = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      return isThere();
    },
    dispose: () => void subscriptions.dispose(),
  };
}
