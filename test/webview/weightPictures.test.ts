import assert from 'node:assert';
import { activationPicture, channelCount, samplePicture, weightPicture } from '../../webview/shared/weightPictures';

function counting(shape: number[]): { shape: number[]; values: Float32Array } {
  return { shape, values: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i) };
}

describe('weights as pictures', () => {
  it('a kernel: one channel, or the mean of all', () => {
    const weights = counting([2, 2, 2, 3]);
    const channel = weightPicture(weights, 1, 1);
    assert.deepStrictEqual([channel.width, channel.height, channel.channels, [...Array.from(channel.values)]], [3, 2, 1, [18, 19, 20, 21, 22, 23]]);
    assert.deepStrictEqual(Array.from(weightPicture(weights, 1, 'mean').values), [15, 16, 17, 18, 19, 20]);
    assert.strictEqual(channelCount(weights.shape), 2);
  });

  it('three input channels are colours', () => {
    const picture = weightPicture(counting([1, 3, 2, 2]), 0, 'mean');
    assert.deepStrictEqual([picture.channels, Array.from(picture.values)], [3, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]]);
    assert.strictEqual(channelCount([1, 3, 2, 2]), 1);
  });

  it('dense rows are strips, deep kernels show their middle slice', () => {
    assert.deepStrictEqual(Array.from(weightPicture(counting([3, 4]), 2, 'mean').values), [8, 9, 10, 11]);
    const deep = weightPicture(counting([1, 1, 3, 2, 2]), 0, 0);
    assert.deepStrictEqual([deep.width, deep.height, Array.from(deep.values)], [2, 2, [4, 5, 6, 7]]);
    const line = weightPicture(counting([1, 2, 5]), 0, 1);
    assert.deepStrictEqual([line.width, line.height, Array.from(line.values)], [5, 1, [5, 6, 7, 8, 9]]);
  });

  it('activations: maps, strips and single numbers', () => {
    assert.deepStrictEqual(Array.from(activationPicture(counting([2, 2, 2]), 1).values), [4, 5, 6, 7]);
    assert.deepStrictEqual(Array.from(activationPicture(counting([3]), 2).values), [2]);
  });

  it('samples: channels first or last', () => {
    assert.deepStrictEqual([samplePicture(counting([1, 8, 8])).width, samplePicture(counting([1, 8, 8])).channels], [8, 1]);
    assert.deepStrictEqual(Array.from(samplePicture(counting([1, 2, 3])).values), [0, 3, 1, 4, 2, 5]);
    assert.strictEqual(samplePicture(counting([3, 4, 5])).channels, 3);
    assert.deepStrictEqual([samplePicture(counting([4, 6, 1])).width, samplePicture(counting([4, 6, 1])).height], [6, 4]);
  });
});
