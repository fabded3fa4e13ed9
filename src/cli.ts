#!/usr/bin/env node
/** The command line: `particlize STAGE FILE [options]`. Exit code 0 done, 1 failed, 2 wrong usage, 130 cancelled. */
import { runCommandLine } from './cli/commandLine';

const controller = new AbortController();

process.on('SIGINT', () => {
  // The second Ctrl+C does not wait for the end of a chunk of work.
  if (controller.signal.aborted) process.exit(130);
  controller.abort();
});

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

void runCommandLine(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  error: (text) => void process.stderr.write(text),
  isTerminal: process.stdout.isTTY === true,
  showProgress: process.stderr.isTTY === true,
  signal: controller.signal,
}).then((code) => {
  process.exitCode = code;
  // Native engines keep threads; what was written must get out first.
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
});
