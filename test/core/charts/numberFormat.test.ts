import assert from 'node:assert';
import { formatBytes, formatChange, formatCount, formatNumber, formatPercent } from '../../../src/core/charts/numberFormat';

/** Narrow spaces written as plain ones, to be readable here. */
const plain = (text: string) => text.replaceAll('\u202f', ' ');

describe('number format', () => {
  const numbers: [number, string, string][] = [
    [0, '', '0'], [-0, '', '0'], [1, '', '1'], [1.23456, '', '1.23'], [0.1, '', '0.1'], [-0.5, '', '−0.5'], [123.456, '', '123'],
    [0.00012345, '', '0.000123'], [1.5e-7, '', '1.5e−7'], [-2e-9, '', '−2e−9'], [25_249, '', '25.2 k'], [-1_300_000, '', '−1.3 M'], [999_999, '', '1 M'],
    [4.1e9, '', '4.1 G'], [NaN, '', '–'], [NaN, 'ms', '–'], [Infinity, '', '∞'], [-Infinity, '', '−∞'], [3.5, 'ms', '3.5 ms'], [0.421, 'share', '42 %'], [0, 'share', '0 %'],
  ];
  for (const [value, unit, text] of numbers) it(`${value} ${unit} is ${text}`, () => assert.strictEqual(plain(formatNumber(value, unit)), text));

  it('counts', () => assert.deepStrictEqual([0, 999, 9999, 10_000, 25_249, 1e6, 1.5e12].map((value) => plain(formatCount(value))), ['0', '999', '9999', '10 k', '25.2 k', '1 M', '1.5 T']));
  it('bytes', () => assert.deepStrictEqual([0, 999, 1000, 153_847, 1e7].map((value) => plain(formatBytes(value))), ['0 B', '999 B', '1 kB', '154 kB', '10 MB']));
  it('shares', () => assert.deepStrictEqual([0, 0.0056, 0.42, 0.9861, 1].map((value) => plain(formatPercent(value))), ['0 %', '0.6 %', '42 %', '99 %', '100 %']));
  it('shares with the decimals asked for', () => assert.strictEqual(plain(formatPercent(0.9861, 1)), '98.6 %'));
  it('changes carry their sign', () => {
    const percent = (size: number) => formatPercent(size);
    assert.deepStrictEqual([-0.42, 0.1, 0, -1e-9].map((value) => plain(formatChange(value, percent))), ['−42 %', '+10 %', '±0 %', '±0 %']);
    assert.strictEqual(formatChange(NaN, percent), '–');
  });
});
