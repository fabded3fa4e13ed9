/**
 * Numbers as every face shows them: three significant digits, a real minus sign, a narrow space before the unit; shares
 * (unit 'share') as percent.
 */
export function formatNumber(value: number, unit = ''): string {
  if (Number.isNaN(value)) return notComputed;
  if (unit === 'share') return formatPercent(value);
  if (!Number.isFinite(value)) return withUnit(value > 0 ? '∞' : `${minus}∞`, unit);
  const size = Math.abs(value);
  if (size === 0) return withUnit('0', unit);
  if (size >= 1e4 || size < 1e-4) return withUnit(size >= 1e4 ? scaled(value) : exponent(value), unit);
  return withUnit(signed(trim(value.toPrecision(3))), unit);
}

/** Counts: exact up to 9 999, then 25.2 k, 1.3 M, 4.1 G. */
export function formatCount(value: number): string {
  if (!Number.isFinite(value)) return notComputed;
  return Math.abs(value) < 1e4 ? signed(String(Math.round(value))) : scaled(value);
}

/** Bytes in powers of 1000, as file explorers show them. */
export function formatBytes(value: number): string {
  if (!Number.isFinite(value)) return notComputed;
  const size = Math.abs(value);
  if (size < 1000) return withUnit(signed(String(Math.round(value))), 'B');
  const { factor, suffix } = prefixOf(size);
  return `${signed(trim((value / factor).toPrecision(3)))}${narrowSpace}${suffix === 'k' ? 'kB' : `${suffix}B`}`;
}

/** A share: 0.421 is 42.1 %; from 10 % on without decimals unless `digits` asks for them. */
export function formatPercent(share: number, digits?: number): string {
  if (!Number.isFinite(share)) return notComputed;
  const percent = share * 100;
  const shown = percent.toFixed(digits ?? (Math.abs(percent) >= 10 || percent === 0 ? 0 : 1));
  return withUnit(signed(trim(shown)), '%');
}

/** A change with its sign: +3, −42 %, ±0. `format` writes the size. */
export function formatChange(value: number, format: (size: number) => string): string {
  if (!Number.isFinite(value)) return notComputed;
  const size = format(Math.abs(value));
  if (value === 0 || size === format(0)) return `±${format(0)}`;
  return `${value < 0 ? minus : '+'}${size}`;
}

export const notComputed = '–';
export const minus = '−';
/** U+202F, which does not break: a number stays with its unit. */
export const narrowSpace = '\u202f';

const prefixes = [
  { factor: 1e12, suffix: 'T' },
  { factor: 1e9, suffix: 'G' },
  { factor: 1e6, suffix: 'M' },
  { factor: 1e3, suffix: 'k' },
] as const;

/** The prefix to use, looking at the rounded number: 999 999 is 1 M, not 1000 k. */
function prefixOf(size: number): { factor: number; suffix: string } {
  const rounded = Number(size.toPrecision(3));
  return prefixes.find(({ factor }) => rounded >= factor) ?? { factor: 1, suffix: '' };
}

function scaled(value: number): string {
  const { factor, suffix } = prefixOf(Math.abs(value));
  const number = value / factor;
  const digits = Math.abs(number) >= 1000 ? number.toExponential(2) : trim(number.toPrecision(3));
  return `${signed(digits)}${suffix ? narrowSpace + suffix : ''}`;
}

function exponent(value: number): string {
  return signed(value.toExponential(1).replace('.0e', 'e')).replace('e-', `e${minus}`);
}

/** Drops zeros behind the decimal point. */
function trim(digits: string): string {
  return digits.includes('.') && !digits.includes('e') ? digits.replace(/\.?0+$/, '') : digits;
}

function signed(digits: string): string {
  return digits.startsWith('-') ? minus + digits.slice(1) : digits;
}

function withUnit(digits: string, unit: string): string {
  return unit ? `${digits}${narrowSpace}${unit}` : digits;
}
