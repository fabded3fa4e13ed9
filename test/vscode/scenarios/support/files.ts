import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** Everything in a folder, by relative path, to compare byte for byte; VS Code's own settings left out. */
export function contentsOf(folder: string): Map<string, Buffer> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const names = files.map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name))).sort();
  return new Map(names.filter((name) => !name.startsWith('.vscode')).map((name) => [name, readFileSync(path.join(folder, name))]));
}

/** What differs between two states of a folder, one word and a name each. */
export function differences(before: ReadonlyMap<string, Buffer>, after: ReadonlyMap<string, Buffer>): string[] {
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  return names.flatMap((name) => {
    const [was, is] = [before.get(name), after.get(name)];
    if (!was) return [`new ${name}`];
    if (!is) return [`gone ${name}`];
    return was.equals(is) ? [] : [`changed ${name}`];
  });
}

/** An array of bytes as NumPy writes it. */
export function npy(shape: readonly number[], data: Uint8Array): Buffer {
  const header = `{'descr': '|u1', 'fortran_order': False, 'shape': (${shape.join(', ')}${shape.length === 1 ? ',' : ''}), }`;
  const length = Math.ceil((10 + header.length + 1) / 64) * 64;
  const start = Buffer.alloc(10);
  start.write('\x93NUMPY\x01\x00', 'latin1');
  start.writeUInt16LE(length - 10, 8);
  return Buffer.concat([start, Buffer.from(`${header.padEnd(length - 11)}\n`, 'latin1'), data]);
}
