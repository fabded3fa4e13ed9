import * as vscode from 'vscode';
import { ProcessEndedError } from '../compute/client';
import { CancelledError, ParticlizeError } from '../core/graph/errors';
import { commands } from './contributions';

/** What the user reads of an error: one sentence; undefined when there is nothing to say (cancelled, or said already). */
export function sentenceOf(error: unknown, log: vscode.LogOutputChannel): string | undefined {
  if (error instanceof CancelledError || error instanceof vscode.CancellationError) return undefined;
  if (error instanceof ParticlizeError) {
    log.warn(error.message);
    return error instanceof ProcessEndedError ? undefined : error.message;
  }
  log.error(error instanceof Error ? error : String(error));
  return vscode.l10n.t('Something unexpected happened; details are in the Particlize output.');
}

/** Shows an error as one sentence with "Show log"; does not wait for the answer. */
export function showError(error: unknown, log: vscode.LogOutputChannel): void {
  const sentence = sentenceOf(error, log);
  if (sentence !== undefined) showSentence(sentence);
}

export function showSentence(sentence: string): void {
  const showLog = vscode.l10n.t('Show log');
  void vscode.window.showErrorMessage(sentence, showLog).then((choice) => {
    if (choice === showLog) void vscode.commands.executeCommand(commands.showLog);
  });
}
