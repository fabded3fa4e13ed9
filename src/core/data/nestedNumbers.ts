/** A number, or lists of numbers of equal length in any depth; undefined when it is something else. Missing numbers are NaN. */
export function nestedNumbers(value: unknown): { readonly shape: readonly number[]; readonly values: ArrayLike<number> } | undefined {
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return { shape: [], values: [Number(value)] };
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    const array = value as unknown as ArrayLike<number | bigint>;
    return { shape: [array.length], values: typeof array[0] === 'bigint' ? Array.from(array, Number) : array as ArrayLike<number> };
  }
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const values: number[] = [];
  const shape = collect(value, values, 0);
  return shape && { shape, values };
}

const deepest = 8;

function collect(list: readonly unknown[], values: number[], depth: number): readonly number[] | undefined {
  if (depth > deepest) return undefined;
  let inner: readonly number[] | undefined;
  for (const item of list) {
    let shape: readonly number[] | undefined = [];
    if (Array.isArray(item) || ArrayBuffer.isView(item)) {
      shape = Array.isArray(item) ? collect(item, values, depth + 1) : collect(Array.from(item as unknown as ArrayLike<unknown>), values, depth + 1);
    } else if (item === null || item === undefined) values.push(NaN);
    else if (typeof item === 'number' || typeof item === 'bigint' || typeof item === 'boolean') values.push(Number(item));
    else return undefined;
    if (!shape || (inner && inner.join() !== shape.join())) return undefined;
    inner = shape;
  }
  return inner && [list.length, ...inner];
}
