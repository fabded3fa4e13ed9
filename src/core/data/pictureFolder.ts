import type { ByteSource } from '../graph/byteSource';
import { ParticlizeError, type Finding } from '../graph/errors';
import type { NdArray } from '../graph/tensor';
import { checkSize, type ArraySource, type DataFile } from './arraySource';
import { decodePicture, inChannels, pictureSize } from './decodePicture';
import { categorical } from './formats/npy';
import { resizePicture, type Picture } from './resizePictures';

/** A folder of pictures: '' is the pictures, 'class' the subfolder of each. Files are read when their rows are asked for. */
export async function openPictureFolder(
  folder: string, files: readonly string[], open: (file: string) => Promise<ByteSource>, memoryBytes: number,
): Promise<DataFile> {
  const names = files.filter((file) => /\.(png|jpe?g)$/i.test(file));
  if (!names.length) throw new ParticlizeError({ file: folder, cause: 'the folder has no PNG or JPEG pictures in it or in its subfolders' });
  const labelled = names.every((file) => file.includes('/'));
  const pictures: ArraySource = {
    dtype: 'uint8', shape: [names.length],
    rows: () => Promise.reject(new ParticlizeError({ file: folder, cause: 'pictures are no numbers until their size is known' })),
    pictures: { sized: (size, channels) => sizedPictures(folder, names, open, { size, channels, memoryBytes }) },
  };
  return {
    arrays: labelled ? ['', 'class'] : [''],
    async array(name) {
      if (name === '') return pictures;
      return categorical(names.map((file) => file.slice(0, file.lastIndexOf('/')).split('/').pop()!));
    },
  };
}

interface Wanted {
  readonly size: readonly [number, number] | undefined;
  readonly channels: 1 | 3 | undefined;
  readonly memoryBytes: number;
}

const largestFileBytes = 256 * 2 ** 20;
const headBytes = 1 << 16;

async function sizedPictures(
  folder: string, names: readonly string[], open: (file: string) => Promise<ByteSource>, { size, channels, memoryBytes }: Wanted,
): Promise<ArraySource> {
  const unreadable = new Map<number, string>();
  const read = async (index: number): Promise<(Picture & { readonly data: Uint8Array }) | undefined> => {
    try {
      const source = await open(names[index]!);
      if (source.sizeBytes > Math.min(largestFileBytes, memoryBytes)) throw new Error('the file is too large for a picture');
      return decodePicture(await source.read(0, source.sizeBytes));
    } catch (error) {
      unreadable.set(index, error instanceof Error ? error.message : String(error));
      return undefined;
    }
  };
  const first = await firstReadable(names, open, read);
  if (!first) throw new ParticlizeError({ file: folder, place: names[0], cause: `none of its pictures can be read (${unreadable.get(0)})` });
  const [height, width] = size ?? [first.height, first.width];
  const kept = channels ?? (first.channels as 1 | 3);
  const each = height * width * kept;
  checkSize(each, memoryBytes, folder);
  const shape = kept === 1 ? [height, width] : [height, width, kept];
  const cache = new RowCache(each, memoryBytes / 4);
  const row = async (index: number): Promise<Uint8Array> => {
    const known = cache.get(index);
    if (known) return known;
    const picture = await read(index);
    if (!picture) return new Uint8Array(each);
    if (!size && (picture.height !== height || picture.width !== width)) {
      throw new ParticlizeError({
        file: folder, place: names[index], cause: `it has ${picture.height}×${picture.width} pixels, but ${names[0]} has ${height}×${width}`,
        action: 'Say in the recipe to what size pictures are brought: "resize": [height, width]',
      });
    }
    const sized = inChannels(picture, kept);
    const data = picture.height === height && picture.width === width ? sized.data : Uint8Array.from(resizePicture(sized, [height, width], true));
    cache.set(index, data);
    return data;
  };
  return {
    dtype: 'uint8', shape: [names.length, ...shape],
    async rows(from, to): Promise<NdArray> {
      checkSize((to - from) * each, memoryBytes, folder);
      const data = new Uint8Array((to - from) * each);
      for (let index = from; index < to; index++) data.set(await row(index), (index - from) * each);
      return { dtype: 'uint8', shape: [to - from, ...shape], data };
    },
    async unreadable(rows) {
      for (const index of Array.from(rows)) await row(index);
      return new Set(Array.from(rows).filter((index) => unreadable.has(index)));
    },
    findings: () => unreadableFinding(folder, names, unreadable),
  };
}

async function firstReadable<T>(names: readonly string[], open: (file: string) => Promise<ByteSource>, read: (index: number) => Promise<T | undefined>): Promise<T | undefined> {
  for (let index = 0; index < Math.min(names.length, 16); index++) {
    const source = await open(names[index]!).catch(() => undefined);
    if (!source || !pictureSize(await source.read(0, Math.min(headBytes, source.sizeBytes)))) continue;
    const picture = await read(index);
    if (picture) return picture;
  }
  return read(0);
}

function unreadableFinding(folder: string, names: readonly string[], unreadable: ReadonlyMap<number, string>): readonly Finding[] {
  const [first] = unreadable;
  if (!first) return [];
  return [{
    severity: 'error', place: `${folder}: ${names[first[0]]}`,
    message: `${unreadable.size} of ${names.length} pictures cannot be read and are left out; the first is ${names[first[0]]} (${first[1]}).`,
  }];
}

/** Pictures stay unpacked as far as the memory allows: many columns pass over the same ones. */
class RowCache {
  private readonly rows = new Map<number, Uint8Array>();
  private readonly most: number;

  constructor(eachBytes: number, memoryBytes: number) {
    this.most = Math.floor(memoryBytes / (eachBytes + 100));
  }

  get(index: number): Uint8Array | undefined {
    return this.rows.get(index);
  }

  set(index: number, row: Uint8Array): void {
    if (this.rows.size < this.most) this.rows.set(index, row);
  }
}
