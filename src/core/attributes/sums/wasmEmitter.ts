/** A function of a WebAssembly module while it is written, instruction by instruction in the order of the stack machine. */
export class WasmFunction {
  private readonly code: number[] = [];
  private readonly locals: ValueType[] = [];

  constructor(readonly name: string, readonly params: readonly ValueType[], readonly result?: ValueType) {}

  /** A new local variable, zero at first. */
  local(type: ValueType): number {
    return this.params.length + this.locals.push(type) - 1;
  }

  get(...locals: readonly number[]): this {
    for (const index of locals) this.code.push(0x20, ...unsigned(index));
    return this;
  }

  set(local: number): this {
    this.code.push(0x21, ...unsigned(local));
    return this;
  }

  i32(value: number): this {
    this.code.push(0x41, ...signed(value));
    return this;
  }

  /** Four times the same 32 bits. */
  bits4(value: number): this {
    return this.lanes([value, value, value, value]);
  }

  /** Four 32-bit integers. */
  lanes(values: readonly [number, number, number, number]): this {
    this.code.push(0xfd, 0x0c, ...new Uint8Array(Int32Array.from(values).buffer));
    return this;
  }

  op(...names: readonly Instruction[]): this {
    for (const name of names) this.code.push(...opcode(name));
    return this;
  }

  /** Reads from (or, with a value above the address, writes to) the address on the stack plus `offset`. */
  memory(name: MemoryInstruction, offset = 0): this {
    // Alignment is a hint; a single byte is always true.
    this.code.push(...opcode(name), 0, ...unsigned(offset));
    return this;
  }

  lane(name: LaneInstruction, index: number): this {
    this.code.push(...opcode(name), index);
    return this;
  }

  /** Picks four 32-bit lanes out of the two vectors on the stack (0 to 3 the lower one's, 4 to 7 the upper one's). */
  shuffle(lanes: readonly [number, number, number, number]): this {
    this.code.push(0xfd, 0x0d, ...lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => lane * 4 + byte)));
    return this;
  }

  /** Runs `body` while `condition` leaves something other than 0 on the stack. */
  while(condition: () => void, body: () => void): this {
    this.code.push(0x02, noValue, 0x03, noValue);
    condition();
    this.op('i32.eqz');
    this.code.push(0x0d, 1);
    body();
    this.code.push(0x0c, 0, end, end);
    return this;
  }

  /** Runs `body` when the number on the stack is not 0. */
  if(body: () => void): this {
    this.code.push(0x04, noValue);
    body();
    this.code.push(end);
    return this;
  }

  /** The function's entry of the code section. */
  bytes(): number[] {
    const locals = this.locals.flatMap((type) => [1, valueTypes[type]]);
    return sized([...unsigned(this.locals.length), ...locals, ...this.code, end]);
  }
}

export type ValueType = keyof typeof valueTypes;

/** A module with these functions, exported by name, over a memory that is imported as `env.memory` (64 KiB at least). */
export function wasmModule(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  const text = (value: string): number[] => sized([...new TextEncoder().encode(value)]);
  const list = (entries: readonly (readonly number[])[]): number[] => [...unsigned(entries.length), ...entries.flat()];
  const section = (id: number, entries: readonly (readonly number[])[]): number[] => [id, ...sized(list(entries))];
  const types = functions.map(({ params, result }) => [
    0x60, ...list(params.map((type) => [valueTypes[type]])), ...list(result ? [[valueTypes[result]]] : []),
  ]);
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d], ...[1, 0, 0, 0],
    ...section(1, types),
    ...section(2, [[...text('env'), ...text('memory'), 0x02, 0x00, 1]]),
    ...section(3, functions.map((_, index) => unsigned(index))),
    ...section(7, functions.map(({ name }, index) => [...text(name), 0x00, ...unsigned(index)])),
    ...section(10, functions.map((one) => one.bytes())),
  ]);
}

const valueTypes = { i32: 0x7f, f32: 0x7d, f64: 0x7c, v128: 0x7b } as const;
const noValue = 0x40;
const end = 0x0b;

/** Names and codes as in the WebAssembly core specification; SIMD instructions have the prefix 0xfd. */
const plain = {
  return: 0x0f, 'i32.eqz': 0x45, 'i32.lt_u': 0x49, 'i32.add': 0x6a, 'i32.sub': 0x6b, 'i32.mul': 0x6c, 'i32.and': 0x71, 'i32.shl': 0x74,
  'i32.shr_u': 0x76, 'f32.add': 0x92, 'f32.max': 0x97, 'f64.add': 0xa0, 'f64.promote_f32': 0xbb,
  'i32.load': 0x28, 'f32.load': 0x2a, 'f64.load': 0x2b, 'i32.store': 0x36, 'f32.store': 0x38, 'f64.store': 0x39,
} as const;

const simd = {
  'v128.load': 0x00, 'v128.load16x4_u': 0x04, 'v128.store': 0x0b, 'v128.load64_zero': 0x5d, 'v128.load32_splat': 0x09,
  'i32x4.splat': 0x11, 'f32x4.splat': 0x13, 'i32x4.extract_lane': 0x1b, 'f32x4.extract_lane': 0x1f, 'f64x2.extract_lane': 0x21,
  'i32x4.gt_s': 0x3b, 'f32x4.le': 0x45, 'f32x4.ge': 0x46, 'v128.and': 0x4e, 'v128.or': 0x50,
  'f64x2.promote_low_f32x4': 0x5f, 'i32x4.shl': 0xab, 'i32x4.add': 0xae, 'i32x4.sub': 0xb1,
  'f32x4.abs': 0xe0, 'f32x4.add': 0xe4, 'f32x4.mul': 0xe6, 'f32x4.pmax': 0xeb, 'f64x2.abs': 0xec, 'f64x2.add': 0xf0, 'f64x2.mul': 0xf2,
} as const;

type Name = keyof typeof plain | keyof typeof simd;
type MemoryInstruction = Extract<Name, `${string}.load${string}` | `${string}.store`>;
type LaneInstruction = Extract<Name, `${string}.extract_lane`>;
type Instruction = Exclude<Name, MemoryInstruction | LaneInstruction>;

function opcode(name: Name): number[] {
  return name in plain ? [plain[name as keyof typeof plain]] : [0xfd, ...unsigned(simd[name as keyof typeof simd])];
}

/** LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  for (; rest < -64 || rest > 63; rest >>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest & 0x7f];
}

function sized(bytes: readonly number[]): number[] {
  return [...unsigned(bytes.length), ...bytes];
}
