import { decode as decodePng } from 'fast-png';
import { decode as decodeJpeg } from 'jpeg-js';
import type { Picture } from './resizePictures';

/** Pixels as bytes with 1 (grey) or 3 (red, green, blue) channels. Throws an Error whose message says what is wrong, in a few words. */
export function decodePicture(bytes: Uint8Array): Picture & { readonly data: Uint8Array } {
  const size = pictureSize(bytes);
  if (!size) throw new Error('it is neither PNG nor JPEG');
  const { height, width } = size;
  if (!(height > 0 && width > 0)) throw new Error(`its header says ${width}×${height} pixels`);
  if (height * width > mostPixels) throw new Error(`its header says ${width}×${height} pixels, more than ${mostPixels / 1e6} million`);
  const picture = size.kind === 'png' ? png(bytes) : jpeg(bytes);
  if (picture.height !== height || picture.width !== width) throw new Error('its size is not what its header says');
  return picture;
}

/** Larger ones are a mistake or a bomb: they are refused by their header, before anything is unpacked. */
const mostPixels = 50e6;

/** Height and width from the header alone. */
export function pictureSize(bytes: Uint8Array): { kind: 'png' | 'jpeg'; height: number; width: number } | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length >= 24 && view.getUint32(0) === 0x89504e47) return { kind: 'png', width: view.getUint32(16), height: view.getUint32(20) };
  if (bytes.length < 4 || view.getUint16(0) !== 0xffd8) return undefined;
  for (let at = 2; at + 9 < bytes.length;) {
    if (bytes[at] !== 0xff) return undefined;
    const marker = bytes[at + 1]!;
    // Fill bytes, and markers without a length.
    if (marker === 0xff) at++;
    else if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) at += 2;
    else if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return { kind: 'jpeg', height: view.getUint16(at + 5), width: view.getUint16(at + 7) };
    } else at += 2 + view.getUint16(at + 2);
  }
  return undefined;
}

function png(bytes: Uint8Array): Picture & { data: Uint8Array } {
  const { width, height, channels, depth, data, palette } = decodePng(bytes, { checkCrc: false });
  if (palette) return { width, height, channels: 3, data: pixels(width * height, 3, (index, channel) => palette[packed(data, index, width, depth)]?.[channel] ?? 0) };
  if (depth < 8) {
    const most = 2 ** depth - 1;
    return { width, height, channels: 1, data: pixels(width * height, 1, (index) => (packed(data, index, width, depth) * 255) / most) };
  }
  // Transparency is dropped, as it is by Pillow's conversion; 16 bits keep their upper eight.
  const kept = channels >= 3 ? 3 : 1;
  return { width, height, channels: kept, data: pixels(width * height, kept, (index, channel) => data[index * channels + channel]! >> (depth - 8)) };
}

/** A value of less than a byte; rows begin at whole bytes. */
function packed(data: ArrayLike<number>, index: number, width: number, depth: number): number {
  if (depth === 8) return data[index]!;
  const [y, x] = [Math.floor(index / width), index % width];
  const bit = x * depth;
  const byte = data[y * Math.ceil((width * depth) / 8) + (bit >> 3)]!;
  return (byte >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
}

function jpeg(bytes: Uint8Array): Picture & { data: Uint8Array } {
  const { width, height, data } = decodeJpeg(bytes, { useTArray: true, formatAsRGBA: false, maxResolutionInMP: mostPixels / 1e6, maxMemoryUsageInMB: 512 });
  return { width, height, channels: 3, data };
}

function pixels(count: number, channels: number, value: (index: number, channel: number) => number): Uint8Array {
  const result = new Uint8Array(count * channels);
  for (let index = 0; index < count; index++) for (let channel = 0; channel < channels; channel++) result[index * channels + channel] = value(index, channel);
  return result;
}

/** Grey as ITU-R BT.601 weighs colours (what Pillow's 'L' is), or the same grey in three channels. */
export function inChannels(picture: Picture & { readonly data: Uint8Array }, channels: 1 | 3): Picture & { readonly data: Uint8Array } {
  if (picture.channels === channels) return picture;
  const count = picture.height * picture.width;
  const { data } = picture;
  const grey = (at: number): number => (data[at]! * 19595 + data[at + 1]! * 38470 + data[at + 2]! * 7471 + 0x8000) >> 16;
  return { ...picture, channels, data: channels === 3 ? pixels(count, 3, (index) => data[index]!) : pixels(count, 1, (index) => grey(index * 3)) };
}
