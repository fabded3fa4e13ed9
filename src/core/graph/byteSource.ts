/** A random-access file. Readers take what they need and nothing else, so that cost grows with what is asked for. */
export interface ByteSource {
  /** File name without folders, for messages. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Exactly `length` bytes at `offset`; rejects with a ParticlizeError when the range leaves the file. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Fills `target` with the bytes at `offset`: what `read` does, without memory of its own. */
  readInto?(offset: number, target: Uint8Array): Promise<void>;
  /** Where a source that is part of another one begins in it. */
  readonly within?: { readonly source: ByteSource; readonly offset: number };
}

/** A model file and what lies beside it (weight shards, external data). Names are relative, with `/`. */
export interface FileSet {
  readonly main: ByteSource;
  /** Opens a sibling file. Refuses absolute names and names that leave the folder; rejects when it is missing. */
  sibling(relativeName: string): Promise<ByteSource>;
  /** Names of the files beside it, for messages and for formats that are folders. */
  list(): Promise<readonly string[]>;
}
