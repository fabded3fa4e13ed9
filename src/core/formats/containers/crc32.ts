/** CRC-32 as zip, gzip and PNG use it (polynomial 0xEDB88320). */
export function crc32(bytes: Uint8Array, before = 0): number {
  let sum = ~before;
  const end = bytes.length - (bytes.length & 3);
  let at = 0;
  // Four bytes at a time through four tables (Kounavis and Berry 2005).
  for (; at < end; at += 4) {
    sum ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    sum = tables[3]![sum & 255]! ^ tables[2]![(sum >>> 8) & 255]! ^ tables[1]![(sum >>> 16) & 255]! ^ tables[0]![sum >>> 24]!;
  }
  for (; at < bytes.length; at++) sum = (sum >>> 8) ^ tables[0]![(sum ^ bytes[at]!) & 255]!;
  return ~sum >>> 0;
}

const tables: readonly Int32Array[] = makeTables();

function makeTables(): Int32Array[] {
  const first = Int32Array.from({ length: 256 }, (_, byte) => {
    let sum = byte;
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
    return sum;
  });
  const made = [first];
  for (let k = 1; k < 4; k++) made.push(made[k - 1]!.map((sum) => (sum >>> 8) ^ first[sum & 255]!));
  return made;
}
