/**
 * The block formats of ggml (ggml-quants.c in ggml-org/llama.cpp has their definition): a block of elements shares one or
 * two scales. Arithmetic is rounded to float32 where ggml rounds, so that values are equal to the bit.
 */
export interface Quantisation {
  readonly name: string;
  /** Elements and bytes of one block. */
  readonly elements: number;
  readonly bytes: number;
  /** Writes a block's elements behind `to`; missing for formats that are listed but not read. */
  readonly decode?: (view: DataView, at: number, out: Float32Array, to: number) => void;
}

/** By ggml's type numbers. */
export const quantisations: Readonly<Record<number, Quantisation>> = {
  2: { name: 'Q4_0', elements: 32, bytes: 18, decode: q4_0 },
  3: { name: 'Q4_1', elements: 32, bytes: 20, decode: q4_1 },
  6: { name: 'Q5_0', elements: 32, bytes: 22, decode: q5_0 },
  7: { name: 'Q5_1', elements: 32, bytes: 24, decode: q5_1 },
  8: { name: 'Q8_0', elements: 32, bytes: 34, decode: q8_0 },
  9: { name: 'Q8_1', elements: 32, bytes: 36 },
  10: { name: 'Q2_K', elements: 256, bytes: 84, decode: q2_k },
  11: { name: 'Q3_K', elements: 256, bytes: 110, decode: q3_k },
  12: { name: 'Q4_K', elements: 256, bytes: 144, decode: (view, at, out, to) => q45_k(view, at, out, to, false) },
  13: { name: 'Q5_K', elements: 256, bytes: 176, decode: (view, at, out, to) => q45_k(view, at, out, to, true) },
  14: { name: 'Q6_K', elements: 256, bytes: 210, decode: q6_k },
  15: { name: 'Q8_K', elements: 256, bytes: 292 },
  16: { name: 'IQ2_XXS', elements: 256, bytes: 66 },
  17: { name: 'IQ2_XS', elements: 256, bytes: 74 },
  18: { name: 'IQ3_XXS', elements: 256, bytes: 98 },
  19: { name: 'IQ1_S', elements: 256, bytes: 50 },
  20: { name: 'IQ4_NL', elements: 32, bytes: 18 },
  21: { name: 'IQ3_S', elements: 256, bytes: 110 },
  22: { name: 'IQ2_S', elements: 256, bytes: 82 },
  23: { name: 'IQ4_XS', elements: 256, bytes: 136 },
  29: { name: 'IQ1_M', elements: 256, bytes: 56 },
  34: { name: 'TQ1_0', elements: 256, bytes: 54 },
  35: { name: 'TQ2_0', elements: 256, bytes: 66 },
  39: { name: 'MXFP4', elements: 32, bytes: 17 },
};

const { fround } = Math;

function q4_0(view: DataView, at: number, out: Float32Array, to: number): void {
  const scale = half(view, at);
  for (let k = 0; k < 16; k++) {
    const byte = view.getUint8(at + 2 + k);
    out[to + k] = scale * ((byte & 15) - 8);
    out[to + k + 16] = scale * ((byte >> 4) - 8);
  }
}

function q4_1(view: DataView, at: number, out: Float32Array, to: number): void {
  const scale = half(view, at);
  const least = half(view, at + 2);
  for (let k = 0; k < 16; k++) {
    const byte = view.getUint8(at + 4 + k);
    out[to + k] = fround(scale * (byte & 15)) + least;
    out[to + k + 16] = fround(scale * (byte >> 4)) + least;
  }
}

function q5_0(view: DataView, at: number, out: Float32Array, to: number): void {
  const scale = half(view, at);
  const fifth = view.getUint32(at + 2, true);
  for (let k = 0; k < 16; k++) {
    const byte = view.getUint8(at + 6 + k);
    out[to + k] = scale * (((byte & 15) | (((fifth >>> k) & 1) << 4)) - 16);
    out[to + k + 16] = scale * (((byte >> 4) | (((fifth >>> (k + 16)) & 1) << 4)) - 16);
  }
}

function q5_1(view: DataView, at: number, out: Float32Array, to: number): void {
  const scale = half(view, at);
  const least = half(view, at + 2);
  const fifth = view.getUint32(at + 4, true);
  for (let k = 0; k < 16; k++) {
    const byte = view.getUint8(at + 8 + k);
    out[to + k] = fround(scale * ((byte & 15) | (((fifth >>> k) & 1) << 4))) + least;
    out[to + k + 16] = fround(scale * ((byte >> 4) | (((fifth >>> (k + 16)) & 1) << 4))) + least;
  }
}

function q8_0(view: DataView, at: number, out: Float32Array, to: number): void {
  const scale = half(view, at);
  for (let k = 0; k < 32; k++) out[to + k] = scale * view.getInt8(at + 2 + k);
}

/** scales[16] (4-bit scale, 4-bit minimum), quants[64] of 2 bits, d, dmin. */
function q2_k(view: DataView, at: number, out: Float32Array, to: number): void {
  const scale = half(view, at + 80);
  const least = half(view, at + 82);
  for (let k = 0; k < 256; k++) {
    const packed = view.getUint8(at + (k >> 4));
    const quant = (view.getUint8(at + 16 + (k >> 7) * 32 + (k & 31)) >> (((k >> 5) & 3) * 2)) & 3;
    out[to + k] = fround(fround(scale * (packed & 15)) * quant) - fround(least * (packed >> 4));
  }
}

/** high bits[32], quants[64] of 2 bits, scales[12] of 6 bits, d. */
function q3_k(view: DataView, at: number, out: Float32Array, to: number): void {
  const scale = half(view, at + 108);
  for (let k = 0; k < 256; k++) {
    const group = k >> 4;
    const low = group < 8 ? view.getUint8(at + 96 + group) & 15 : view.getUint8(at + 88 + group) >> 4;
    const high = (view.getUint8(at + 104 + (group & 3)) >> (2 * (group >> 2))) & 3;
    const quant = (view.getUint8(at + 32 + (k >> 7) * 32 + (k & 31)) >> (((k >> 5) & 3) * 2)) & 3;
    const lifted = (view.getUint8(at + (k & 31)) >> (k >> 5)) & 1;
    out[to + k] = fround(scale * ((low | (high << 4)) - 32)) * (quant - (lifted ? 0 : 4));
  }
}

/** d, dmin, scales[12] (eight 6-bit scales and minima), with five bits: high bits[32]; quants[128] of 4 bits. */
function q45_k(view: DataView, at: number, out: Float32Array, to: number, five: boolean): void {
  const scale = half(view, at);
  const least = half(view, at + 2);
  const quants = at + (five ? 48 : 16);
  for (let group = 0; group < 8; group++) {
    const byte = (index: number): number => view.getUint8(at + 4 + index);
    const own = group < 4 ? byte(group) & 63 : (byte(group + 4) & 15) | ((byte(group - 4) >> 6) << 4);
    const low = group < 4 ? byte(group + 4) & 63 : (byte(group + 4) >> 4) | ((byte(group) >> 6) << 4);
    const step = fround(scale * own);
    const base = fround(least * low);
    for (let k = 0; k < 32; k++) {
      const packed = view.getUint8(quants + (group >> 1) * 32 + k);
      const fifth = five ? ((view.getUint8(at + 16 + k) >> group) & 1) << 4 : 0;
      out[to + group * 32 + k] = fround(step * ((group & 1 ? packed >> 4 : packed & 15) | fifth)) - base;
    }
  }
}

/** low bits[128] of 4, high bits[64] of 2, scales[16], d. */
function q6_k(view: DataView, at: number, out: Float32Array, to: number): void {
  const scale = half(view, at + 208);
  for (let k = 0; k < 256; k++) {
    const side = k >> 7;
    const quarter = (k >> 5) & 3;
    const low = view.getUint8(at + side * 64 + (quarter & 1) * 32 + (k & 31));
    const high = (view.getUint8(at + 128 + side * 32 + (k & 31)) >> (quarter * 2)) & 3;
    const quant = ((quarter & 2 ? low >> 4 : low & 15) | (high << 4)) - 32;
    out[to + k] = fround(scale * view.getInt8(at + 192 + (k >> 4))) * quant;
  }
}

function half(view: DataView, at: number): number {
  const bits = view.getUint16(at, true);
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction) * 2 ** (exponent - 15) : fraction * 2 ** -14);
}
