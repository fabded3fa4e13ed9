/** Entry of the compute process: answers the host's calls and ends when the host goes away. */
import { ParticlizeError } from '../core/graph/errors';
import type { ComputeOptions, Request } from './protocol';
import { serve } from './rpc';
import { createSessions } from './session';

const defaults: ComputeOptions = { engine: 'auto', threads: 0, memoryMegabytes: 1024 };

function main(): void {
  if (!process.send) throw new ParticlizeError({ cause: 'the compute process is started by the Particlize extension, not by hand' });
  process.on('disconnect', () => process.exit(0));
  serve(createSessions(options(process.argv[2])), {
    // Once the host is gone there is nobody to tell; 'disconnect' ends the process.
    send: (message) => void (process.connected && process.send?.(message)),
    onMessage: (listener) => void process.on('message', (message) => listener(message as Request)),
  });
}

function options(json: string | undefined): ComputeOptions {
  return { ...defaults, ...(json ? (JSON.parse(json) as Partial<ComputeOptions>) : {}) };
}

main();
