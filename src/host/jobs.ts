import * as vscode from 'vscode';
import type { CallOptions } from '../compute/client';
import { CancelledError, ParticlizeError } from '../core/graph/errors';
import type { Model } from './model';
import { showError } from './messages';

/** At most this often does progress go to views. */
const intervalMs = 100;

/** Long work on a model: one at a time for each, with progress and cancel in a notification, and errors shown once. */
export class Jobs implements vscode.Disposable {
  private readonly running = new Map<Model, AbortController>();

  constructor(private readonly log: vscode.LogOutputChannel) {}

  /** The result, or undefined when it was cancelled or failed (then the user has been told). */
  async run<T>(model: Model, title: string, work: (options: CallOptions) => Promise<T>): Promise<T | undefined> {
    try {
      return await this.runOrThrow(model, title, work);
    } catch (error) {
      showError(error, this.log);
      return undefined;
    }
  }

  async runOrThrow<T>(model: Model, title: string, work: (options: CallOptions) => Promise<T>): Promise<T> {
    const busy = model.running;
    if (busy) throw new ParticlizeError({ file: model.title, cause: `${busy.title} is still running`, action: 'Cancel it or wait for its end' });
    const controller = new AbortController();
    this.running.set(model, controller);
    model.running = { title, done: 0, total: 0 };
    const options: vscode.ProgressOptions = {
      location: vscode.ProgressLocation.Notification, title: `${model.title}: ${title}`, cancellable: true,
    };
    const started = Date.now();
    try {
      return await vscode.window.withProgress(options, (progress, token) => {
        token.onCancellationRequested(() => controller.abort());
        let shown = 0;
        let reported = 0;
        return work({
          signal: controller.signal,
          progress: (done, total, message) => {
            const now = Date.now();
            if (now - shown < intervalMs && done < total) return;
            shown = now;
            const percent = total > 0 ? (100 * done) / total : 0;
            const remainingMs = done > 0 && total > 0 ? ((now - started) * (total - done)) / done : undefined;
            if (!controller.signal.aborted) model.running = { title, done, total, message, remainingMs };
            progress.report({ increment: Math.max(0, percent - reported), message: progressText(percent, message) });
            reported = Math.max(reported, percent);
          },
          columns: (columns) => model.addColumns(columns),
        });
      });
    } catch (error) {
      // A crash of the process while cancelling is not worth a second sentence.
      throw controller.signal.aborted ? new CancelledError() : error;
    } finally {
      this.running.delete(model);
      model.running = undefined;
      this.log.debug(`${model.title}: ${title}: ${Date.now() - started} ms`);
    }
  }

  cancel(model: Model): void {
    this.running.get(model)?.abort();
  }

  dispose(): void {
    for (const controller of this.running.values()) controller.abort();
  }
}

function progressText(percent: number, message: string | undefined): string {
  return `${percent.toFixed(0)} %${message ? ` · ${message}` : ''}`;
}
