import type { ScaleKind } from '../../src/core/charts/colourScales';
import type { ParticleLayer } from '../../src/core/charts/particleLayers';

/** A column in a notebook output. */
export interface PayloadColumn {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly scale: ScaleKind;
  readonly meaning: string;
}

/** What `application/vnd.particlize.v1+json` holds, after checking. */
export type Payload =
  | { readonly kind: 'heatmap' | 'distribution'; readonly title: string; readonly layers: readonly ParticleLayer[]; readonly column: PayloadColumn; readonly values: Float32Array }
  | { readonly kind: 'kernels'; readonly title: string; readonly layer: string; readonly shape: readonly number[]; readonly values: Float32Array }
  | { readonly kind: 'scatter'; readonly title: string; readonly layers: readonly ParticleLayer[]; readonly x: PayloadAxis; readonly y: PayloadAxis };

export interface PayloadAxis {
  readonly column: PayloadColumn;
  readonly values: Float32Array;
}

/** Checks an output's data; throws an Error with one sentence that says which field is wrong. */
export function readPayload(data: unknown): Payload {
  const record = object(data, 'This Particlize output');
  if (record.version !== 1) fail(`has version ${show(record.version)}; this renderer draws version 1. Update Particlize`);
  const title = typeof record.title === 'string' ? record.title : '';
  switch (record.kind) {
    case 'heatmap':
    case 'distribution': {
      const values = numbers(record.values, 'values');
      const layers = readLayers(record.layers, values.length);
      return { kind: record.kind, title, layers, column: readColumn(record.column, 'column'), values };
    }
    case 'kernels': {
      const values = numbers(record.values, 'values');
      const shape = Array.isArray(record.shape) ? record.shape : fail('needs "shape", a list of sizes such as [16, 1, 3, 3]');
      if (shape.length < 2 || shape.length > 6 || !shape.every((size) => Number.isInteger(size) && size > 0)) {
        fail(`has the shape ${show(shape)}; two to six whole numbers above zero are needed`);
      }
      const count = shape.reduce((product: number, size: number) => product * size, 1);
      if (count !== values.length) fail(`has ${values.length} values, but its shape ${show(shape)} holds ${count}`);
      return { kind: 'kernels', title, layer: typeof record.layer === 'string' ? record.layer : '', shape, values };
    }
    case 'scatter': {
      const x = readAxis(record.x, 'x');
      const y = readAxis(record.y, 'y');
      if (x.values.length !== y.values.length) fail(`has ${x.values.length} values in x but ${y.values.length} in y`);
      return { kind: 'scatter', title, layers: readLayers(record.layers, x.values.length), x, y };
    }
    default:
      return fail(`has the kind ${show(record.kind)}; heatmap, kernels, distribution and scatter are known`);
  }
}

const kinds = ['kernel', 'neuron', 'unit', 'head', 'factor'] as const;
/** An output of this size would be slow to draw and slower to save. */
const maxValues = 4_000_000;

function readLayers(value: unknown, rows: number): ParticleLayer[] {
  if (!Array.isArray(value)) return fail('needs "layers", a list of {name, kind, count}');
  let firstRow = 0;
  const layers = value.map((entry: unknown, i): ParticleLayer => {
    const layer = object(entry, `layers[${i}]`);
    const { name, count } = layer;
    const kind = kinds.find((known) => known === layer.kind) ?? 'kernel';
    if (typeof name !== 'string') return fail(`needs a name in layers[${i}]`);
    if (typeof count !== 'number' || !Number.isInteger(count) || count < 0) return fail(`needs a whole number as count of layer “${name}”`);
    const read = { name, kind, count, firstRow };
    firstRow += count;
    return read;
  });
  if (firstRow !== rows) fail(`has ${rows} values for ${firstRow} particles in its layers`);
  return layers;
}

function readColumn(value: unknown, place: string): PayloadColumn {
  const column = object(value, place);
  const name = typeof column.name === 'string' ? column.name : fail(`needs ${place}.name`);
  const scale = column.scale === 'diverging' || column.scale === 'categorical' ? column.scale : 'sequential';
  const text = (field: unknown, otherwise: string) => (typeof field === 'string' ? field : otherwise);
  return { name, title: text(column.title, name), unit: text(column.unit, ''), meaning: text(column.meaning, ''), scale };
}

function readAxis(value: unknown, place: string): PayloadAxis {
  const axis = object(value, place);
  return { column: readColumn(axis.column, `${place}.column`), values: numbers(axis.values, `${place}.values`) };
}

/** null is "no value": JSON has no NaN. */
function numbers(value: unknown, place: string): Float32Array {
  if (!Array.isArray(value)) return fail(`needs "${place}", a list of numbers`);
  if (value.length > maxValues) return fail(`has ${value.length} numbers in "${place}"; at most ${maxValues} can be shown`);
  const array = new Float32Array(value.length);
  for (let i = 0; i < array.length; i++) {
    const number: unknown = value[i];
    if (number !== null && typeof number !== 'number') fail(`has ${show(number)} in ${place}[${i}], which is not a number`);
    array[i] = typeof number === 'number' ? number : NaN;
  }
  return array;
}

function object(value: unknown, place: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Readonly<Record<string, unknown>>;
  return fail(`needs an object in ${place}`);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function fail(what: string): never {
  throw new Error(`This Particlize output ${what}.`);
}
