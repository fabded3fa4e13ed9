import { ParticlizeError } from '../../graph/errors';
import { checkSize, inMemory, singleArray, type DataFormat } from '../arraySource';
import { wholeFile } from '../inflate';

/** Plain text: one running text, whose windows are the samples. Tokens are found from its beginning, so it is read as a whole. */
export const text: DataFormat = {
  title: 'plain text',
  match: (name) => /\.txt(\.gz)?$/i.test(name),
  async open(source, memoryBytes) {
    // Two bytes a character in memory, and four a token.
    checkSize(source.sizeBytes * 6, memoryBytes, source.name);
    const content = new TextDecoder().decode(await wholeFile(source, memoryBytes / 6));
    if (content === '') throw new ParticlizeError({ file: source.name, cause: 'the file is empty' });
    // A text is no number: rows exist for what cuts it into tokens.
    const rows = inMemory({ dtype: 'int32', shape: [1], data: new Int32Array(1) });
    return singleArray({ ...rows, text: { running: true, read: () => Promise.resolve([content]) } });
  },
};
