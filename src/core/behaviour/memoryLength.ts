import { withAttributes } from '../graph/attributes';
import { batchModel, rowsOf } from '../evaluate/batching';
import { throwIfCancelled } from '../graph/errors';
import { GraphOnGraph } from '../graph/graphBuilder';
import { asFloat32, float32Array } from '../graph/numeric';
import { elementCount, type NdArray } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import { chosenGroups } from './forward';
import { openRecurrent, type RecurrentLayer, type RecurrentReading } from './recurrentLayer';

/** How far a unit's state is moved. */
const nudge = 0.1;
const mostSamples = 16;
/** Multiplications that all nudges of a layer may take, and at once. */
const [mostMultiplications, multiplicationsAtOnce] = [5e10, 2e10];

/**
 * How long a unit remembers: after a quarter of the sequence its state (the cell of an LSTM) is moved by 0.1 while everything
 * goes on as it did, and the trace that this leaves in its own output is followed. The memory length is the number of steps
 * after which the mean trace has fallen below 1/e of its largest for good. It is the measured form of the time constant
 * -1 / ln(forget gate) (Tallec and Ollivier 2018, "Can recurrent neural networks warp time?"), with what goes round by other units.
 */
export const memoryLength: BehaviourFamily = {
  kinds: ['unit'],
  columns: [{
    name: 'memoryLength', title: 'Memory length', unit: 'steps', scale: 'sequential', exact: true,
    meaning: 'Steps until a small change of the unit\'s state has faded to 1/e, over up to 16 samples; at most three quarters of the sequence, which a unit that counts reaches.',
  }],
  async compute(context) {
    const values = context.table.emptyValues();
    for (const group of chosenGroups(context)) {
      const layer = await openRecurrent(context.engine, await batchModel(context.graph), group);
      if (!layer) continue;
      try {
        const lengths = await lengthsOf(context, group, layer);
        if (lengths) values.set(lengths, group.firstRow);
        context.arrived?.('memoryLength', values);
      } finally {
        await layer.dispose();
      }
    }
    return [values];
  },
};

async function lengthsOf(context: BehaviourContext, group: ParticleGroup, layer: RecurrentLayer): Promise<Float32Array | undefined> {
  const { data, report, task } = context;
  const { hidden, directions } = layer;
  const all = await layer.read(await data.inputs(0, Math.min(data.count, mostSamples)));
  const steps = all.x.shape[0]!;
  const head = Math.floor(steps / 4);
  const horizon = steps - head;
  if (horizon < 2) {
    report({ severity: 'info', place: group.layer, message: 'Its sequences are too short to see how long it remembers.' });
    return undefined;
  }
  const each = horizon * (elementCount(all.w.shape) + elementCount(all.r.shape));
  const samples = Math.max(1, Math.min(all.x.shape[1]!, Math.floor(mostMultiplications / (each * hidden))));
  const reading = firstSamples(all, samples);
  const cell = await openCell(context, layer);
  try {
    const before = head ? await cell.run(slice(reading.x, 0, head), startOf(reading, layer, samples)) : undefined;
    // A backward direction begins at the end of the sequence, where its state is the one it starts from.
    const start = startOf(reading, layer, samples);
    if (before) for (const name of ['h', 'c'] as const) start[name].set(before[name].subarray(0, layer.node.op === 'LSTM' || name === 'h' ? samples * hidden : 0));
    const tail = slice(reading.x, head, steps);
    const base = await cell.run(tail, start);
    const traces = new Float64Array(hidden * directions * (horizon + 1));
    const atOnce = Math.max(1, Math.min(hidden, Math.floor(multiplicationsAtOnce / (each * samples)), Math.floor(context.memoryBytes / (8 * horizon * samples * (directions * hidden + reading.x.shape[2]!)))));
    for (let first = 0; first < hidden; first += atOnce) {
      throwIfCancelled(task);
      task?.progress?.(first, hidden, `Memory of ${group.layer}`);
      const units = Array.from({ length: Math.min(atOnce, hidden - first) }, (_, index) => first + index);
      const nudged = await cell.run(repeated(tail, units.length), nudgedStart(start, layer, units, samples));
      addTraces(traces, { base: base.y, nudged: nudged.y, layer, units, samples, horizon });
    }
    return Float32Array.from({ length: hidden }, (_, unit) => Math.max(...Array.from({ length: directions }, (__, direction) => {
      const trace = traces.subarray((unit * directions + direction) * (horizon + 1), (unit * directions + direction + 1) * (horizon + 1));
      // What is moved is the state itself, except that of an LSTM only shows through its output gate.
      if (layer.node.op !== 'LSTM') trace[0] = nudge * samples;
      return fading(trace, nudge * samples);
    })));
  } finally {
    await cell.dispose();
  }
}

/** Steps after which a trace stays below 1/e of its largest; 0 for one that is never there. */
export function fading(trace: Float64Array, moved: number): number {
  const largest = trace.reduce((most, value) => Math.max(most, value), 0);
  if (!(largest > 1e-4 * moved)) return 0;
  let last = 0;
  trace.forEach((value, step) => {
    if (value >= largest / Math.E) last = step;
  });
  return last;
}

interface Start {
  /** [directions, samples, hidden]; c is empty unless the operator is an LSTM. */
  readonly h: Float32Array;
  readonly c: Float32Array;
}

interface Cell {
  run(x: NdArray, start: Start): Promise<{ readonly y: Float32Array; readonly h: Float32Array; readonly c: Float32Array }>;
  dispose(): Promise<void>;
}

/** The operator by itself, from states that are fed. */
async function openCell({ engine, graph: original }: BehaviourContext, { node, directions, hidden }: RecurrentLayer): Promise<Cell> {
  const { graph } = await batchModel(original);
  const [, w = '', r = '', b = '', , , , peepholes = ''] = node.inputs;
  const builder = new GraphOnGraph(graph);
  const features = graph.values.get(w)?.shape?.[2] ?? graph.tensors.get(w)?.shape[2] ?? null;
  const x = builder.input('particlize/x', { dtype: 'float32', shape: [null, null, features] });
  const h = builder.input('particlize/h', { dtype: 'float32', shape: [directions, null, hidden] });
  const lstm = node.op === 'LSTM';
  const c = lstm ? builder.input('particlize/c', { dtype: 'float32', shape: [directions, null, hidden] }) : '';
  const plain = withAttributes(node, { drop: ['layout'] });
  const outputs = [...builder.nodes(node.op, [x, w, r, b, '', h, ...(lstm ? [c, peepholes] : [])], lstm ? 3 : 2, plain.attributes)];
  const program = await engine.compile(await builder.finish(outputs), [x, h, ...(c ? [c] : [])], outputs);
  return {
    async run(array, start) {
      const shape = [directions, array.shape[1]!, hidden];
      const feeds = new Map([[x, array], [h, float32Array(start.h, shape)], ...(c ? [[c, float32Array(start.c, shape)] as const] : [])]);
      const [y, lastH, lastC] = await program.run(feeds).then((found) => outputs.map((name) => asFloat32(found.get(name)!)));
      return { y: y!, h: lastH!, c: lastC ?? new Float32Array(0) };
    },
    dispose: () => program.dispose(),
  };
}

function startOf({ h, c }: RecurrentReading, { node, directions, hidden }: RecurrentLayer, samples: number): { h: Float32Array; c: Float32Array } {
  const size = directions * samples * hidden;
  const own = (state: NdArray | undefined): Float32Array => (state && state.data.length === size ? asFloat32(state).slice() : new Float32Array(size));
  return { h: own(h), c: node.op === 'LSTM' ? own(c) : new Float32Array(0) };
}

/** One copy of the states for each unit, in which that unit's state is moved. */
function nudgedStart(start: Start, { node, directions, hidden }: RecurrentLayer, units: readonly number[], samples: number): Start {
  const moved = (state: Float32Array, move: boolean): Float32Array => {
    const result = new Float32Array(state.length * units.length);
    for (let direction = 0; direction < directions; direction++) {
      const own = state.subarray(direction * samples * hidden, (direction + 1) * samples * hidden);
      units.forEach((unit, copy) => {
        const at = (direction * units.length + copy) * samples * hidden;
        result.set(own, at);
        if (move) for (let sample = 0; sample < samples; sample++) result[at + sample * hidden + unit]! += nudge;
      });
    }
    return result;
  };
  const lstm = node.op === 'LSTM';
  return { h: moved(start.h, !lstm), c: lstm ? moved(start.c, true) : start.c };
}

function addTraces(
  traces: Float64Array, { base, nudged, layer: { directions, hidden, node }, units, samples, horizon }: {
    base: Float32Array; nudged: Float32Array; layer: RecurrentLayer; units: readonly number[]; samples: number; horizon: number;
  },
): void {
  const reverse = node.attributes['direction']?.value === 'reverse';
  for (let time = 0; time < horizon; time++) {
    for (let direction = 0; direction < directions; direction++) {
      units.forEach((unit, copy) => {
        const step = reverse || direction === 1 ? horizon - 1 - time : time;
        const trace = (unit * directions + direction) * (horizon + 1) + step + 1;
        for (let sample = 0; sample < samples; sample++) {
          const at = ((time * directions + direction) * units.length * samples + copy * samples + sample) * hidden + unit;
          const before = ((time * directions + direction) * samples + sample) * hidden + unit;
          traces[trace]! += Math.abs(nudged[at]! - base[before]!);
        }
      });
    }
  }
}

/** Steps [from, to) of [T, N, C]. */
function slice(x: NdArray, from: number, to: number): NdArray {
  return rowsOf(x, from, to);
}

/** [T, N, C] -> [T, copies * N, C] */
function repeated(x: NdArray, copies: number): NdArray {
  const [steps, batch, features] = x.shape as [number, number, number];
  const source = asFloat32(x);
  const data = new Float32Array(source.length * copies);
  for (let time = 0; time < steps; time++) {
    const row = source.subarray(time * batch * features, (time + 1) * batch * features);
    for (let copy = 0; copy < copies; copy++) data.set(row, (time * copies + copy) * batch * features);
  }
  return { dtype: 'float32', shape: [steps, batch * copies, features], data };
}

function firstSamples(reading: RecurrentReading, samples: number): RecurrentReading {
  const [steps, batch, features] = reading.x.shape as [number, number, number];
  if (samples === batch) return reading;
  const source = asFloat32(reading.x);
  const data = new Float32Array(steps * samples * features);
  for (let time = 0; time < steps; time++) data.set(source.subarray(time * batch * features, (time * batch + samples) * features), time * samples * features);
  return { ...reading, h: undefined, c: undefined, x: { dtype: 'float32', shape: [steps, samples, features], data } };
}
