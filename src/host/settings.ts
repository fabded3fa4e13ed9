import * as vscode from 'vscode';
import type { ComputeOptions } from '../compute/protocol';
import { settings } from './contributions';

type Settings = typeof settings;

/** A setting of Particlize, as it holds for a file. */
export function setting<K extends keyof Settings>(name: K, scope?: vscode.Uri): Settings[K] {
  return vscode.workspace.getConfiguration('particlize', scope).get<Settings[K]>(name, settings[name]);
}

export function computeOptions(): ComputeOptions {
  return {
    engine: setting('compute.engine'),
    threads: setting('compute.threads'),
    memoryMegabytes: setting('compute.memoryMegabytes'),
  };
}

/** Samples to run: undefined for all of them. */
export function sampleLimit(scope?: vscode.Uri): number | undefined {
  return setting('behaviour.samples', scope) || undefined;
}
