import type { SavedFile } from '../formats/format';
import { readSafetensors } from '../formats/safetensors/safetensorsFile';
import type { ByteSource } from '../graph/byteSource';
import { ParticlizeError } from '../graph/errors';
import { asFloat32 } from '../graph/numeric';

/** Where a run keeps what it needs to go on after it was killed. Writing must be all or nothing. */
export interface CheckpointPort {
  read(): Promise<ByteSource | undefined>;
  write(file: Omit<SavedFile, 'name'>): Promise<void>;
}

/** A run between two steps. Orders and masks follow from the seed and the position, so that no other state exists. */
export interface Checkpoint {
  /** Tells the model and everything that decides what the run computes. */
  readonly identity: CheckpointIdentity;
  /** Plain numbers and texts: position, sums, rows of the table. */
  readonly progress: unknown;
  /** By name: weights, running statistics, what the optimiser keeps; the best weights so far under 'best/'. */
  readonly arrays: ReadonlyMap<string, Float32Array>;
}

export interface CheckpointIdentity {
  /** Digest of the model file. */
  readonly model: string;
  readonly samples: number;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** A safetensors file whose metadata hold the rest as JSON. */
export function encodeCheckpoint({ identity, progress, arrays }: Checkpoint): Omit<SavedFile, 'name'> {
  const header: Record<string, unknown> = { __metadata__: { particlize: JSON.stringify({ version, identity, progress, arrays: arrays.size }) } };
  let offset = 0;
  // Taken now: the run goes on while the file is written.
  const copies = [...arrays].map(([name, values]) => {
    header[name] = { dtype: 'F32', shape: [values.length], data_offsets: [offset, (offset += values.byteLength)] };
    return Float32Array.from(values);
  });
  const text = new TextEncoder().encode(JSON.stringify(header));
  const head = new Uint8Array(8 + text.length);
  new DataView(head.buffer).setBigUint64(0, BigInt(text.length), true);
  head.set(text, 8);
  return {
    sizeBytes: head.length + offset,
    async* chunks() {
      yield head;
      for (const { buffer } of copies) yield new Uint8Array(buffer);
    },
  };
}

/** Rejects with a ParticlizeError when it is damaged, or belongs to another model or another run. */
export async function decodeCheckpoint(source: ByteSource, wanted: CheckpointIdentity): Promise<Checkpoint> {
  const damaged = (cause: string, error?: unknown): ParticlizeError => new ParticlizeError({
    file: source.name, cause: `the checkpoint is damaged: ${cause}`, action: 'Delete it and train from the beginning',
  }, { cause: error });
  const file = await readSafetensors(source).catch((error: unknown) => {
    throw error instanceof ParticlizeError ? damaged(error.parts.cause, error) : error;
  });
  let root: { version?: unknown; identity?: CheckpointIdentity; progress?: unknown; arrays?: unknown };
  try {
    root = JSON.parse(String(file.metadata?.particlize)) as typeof root;
  } catch (error) {
    throw damaged('this is no checkpoint of a training run', error);
  }
  const { identity } = root;
  if (root.version !== version || !identity?.settings || root.arrays !== file.entries.size) throw damaged('it lacks parts of the run');
  const other = (cause: string, action: string): ParticlizeError => new ParticlizeError({ file: source.name, cause, action });
  if (identity.model !== wanted.model) {
    throw other('the checkpoint was made with another model, or the model file has changed since', 'Open the model that it was made with, or train without --resume in another folder');
  }
  if (identity.samples !== wanted.samples) {
    throw other(`the checkpoint was made with ${identity.samples} training samples, but there are ${wanted.samples}`, 'Use the same recipe and data');
  }
  for (const [name, value] of Object.entries(wanted.settings)) {
    const [then, now] = [identity.settings[name], value].map((setting) => JSON.stringify(setting) ?? 'none');
    if (then !== now) throw other(`the checkpoint was made with ${name} ${then}, not ${now}`, 'Resume with the same settings');
  }
  const arrays = new Map<string, Float32Array>();
  for (const [name, { tensor }] of file.entries) arrays.set(name, asFloat32(await tensor.read()));
  return { identity, progress: root.progress, arrays };
}

const version = 1;
