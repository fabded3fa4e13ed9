/** What a stage noticed without having to stop: an unknown operator, a missing shard, a label out of range. */
export interface Finding {
  readonly severity: 'info' | 'warning' | 'error';
  /** Where: a layer, a tensor, a row, a byte offset. */
  readonly place: string;
  /** One sentence in the user's words. */
  readonly message: string;
}

export interface ErrorParts {
  /** File name as the user knows it. */
  readonly file?: string;
  /** Place inside the file: a layer, a tensor, a field, a byte offset. */
  readonly place?: string;
  /** What is wrong, without a full stop. */
  readonly cause: string;
  /** What the user can do, as a sentence without a full stop. */
  readonly action?: string;
}

/** The one error a user may see: file, place, cause and what to do, in one clear sentence. */
export class ParticlizeError extends Error {
  readonly parts: ErrorParts;

  constructor(parts: ErrorParts, options?: { cause?: unknown }) {
    super(sentence(parts), options);
    this.name = 'ParticlizeError';
    this.parts = parts;
  }
}

/** Thrown when the user cancelled: never shown as a failure; exit code 130 on the command line. */
export class CancelledError extends Error {
  constructor() {
    super('cancelled');
    this.name = 'CancelledError';
  }
}

/** Cooperative cancellation and progress, passed down into every long stage. */
export interface Task {
  readonly signal?: AbortSignal;
  /** `done` and `total` in the stage's own unit; `message` in the user's words. */
  progress?(done: number, total: number, message?: string): void;
}

/** Throws {@link CancelledError} when the task's signal is aborted. Call between chunks of work. */
export function throwIfCancelled(task: Task | undefined): void {
  if (task?.signal?.aborted) throw new CancelledError();
}

function sentence({ file, place, cause, action }: ErrorParts): string {
  const where = [file, place].filter((part) => part !== undefined && part !== '').map((part) => oneLine(part!)).join(': ');
  return `${where ? `${where}: ` : ''}${oneLine(cause)}.${action ? ` ${oneLine(action)}.` : ''}`;
}

/** Names and values out of a damaged file may be of any length and hold any character. */
function oneLine(text: string): string {
  // eslint-disable-next-line no-control-regex -- these are what is taken out
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ');
  return line.length <= longestPart ? line : `${line.slice(0, longestPart - 40)} ... ${line.slice(-30)}`;
}

const longestPart = 800;
