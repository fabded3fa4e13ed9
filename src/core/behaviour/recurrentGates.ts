import { batchModel, batchSize, bytesPerSample } from '../evaluate/batching';
import { ParticlizeError, throwIfCancelled } from '../graph/errors';
import { elementCount } from '../graph/tensor';
import type { ParticleGroup } from '../particles/particle';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import type { Detail } from './details/detail';
import { sampleTokens } from './details/sampleText';
import { chosenGroups } from './forward';
import { openRecurrent, recurrentNode, unfoldReading } from './recurrentLayer';
import { gateNames } from './recurrentUnfold';

/** Below and above these a gate is shut and open (Karpathy, Johnson, Fei-Fei 2015, "Visualizing and understanding recurrent networks"). */
const [shut, open] = [0.1, 0.9];
/** Multiplications that unfolding a layer may take: some seconds. */
const mostMultiplications = 2e9;
/** Relative difference from which on unfolded states are not the operator's. */
const tolerance = 1e-3;

const gates = ['input', 'forget', 'output', 'update', 'reset'] as const;

/**
 * How decided the gates of LSTM and GRU units are. Gates are not values of the graph: the operator is unfolded step by step, and
 * what that gives for its states is held against what the engine gave.
 */
export const recurrentGates: BehaviourFamily = {
  kinds: ['unit'],
  columns: gates.map((gate) => ({
    name: `${gate}GateSaturation`, title: `Saturation of the ${gate} gate`, unit: '', scale: 'sequential', exact: true,
    meaning: `Share of steps at which the unit's ${gate} gate is shut (below 0.1) or open (above 0.9), over the first samples that a few seconds suffice for; near 1 it decides, near 0 it blends.`,
  })),
  async compute(context) {
    const { table, report } = context;
    const results = gates.map(() => table.emptyValues());
    for (const group of chosenGroups(context)) {
      const found = await gateShares(context, group);
      if (typeof found === 'string') report({ severity: 'warning', place: group.layer, message: found });
      else if (found) {
        for (const [gate, { low, high }] of found) {
          const values = results[gates.indexOf(gate as typeof gates[number])]!;
          for (let unit = 0; unit < group.count; unit++) values[group.firstRow + unit] = low[unit]! + high[unit]!;
        }
      }
    }
    return results;
  },
};

export const gateSaturation: Detail = {
  name: 'gateSaturation', title: 'Gates shut and open', of: 'particle', needs: 'data', kinds: ['unit'],
  meaning: 'Share of steps at which each of the unit\'s gates is shut (below 0.1) and open (above 0.9).',
  applies: (graph, group) => Boolean(gateNames[recurrentNode(graph, group)?.op ?? '']?.length),
  async compute(context, { group, particle }) {
    const found = await gateShares(context, group);
    if (!found || typeof found === 'string') throw new ParticlizeError({ place: group.layer, cause: found ?? 'it has no gates' });
    const entries = [...found].flatMap(([gate, { low, high }]) => [[`${gate} shut`, low[particle]!], [`${gate} open`, high[particle]!]] as const);
    return { kind: 'bars', labels: entries.map(([label]) => label), values: Float32Array.from(entries, ([, value]) => value), labelTitle: 'Gate', valueTitle: 'Share of steps' };
  },
};

export const gatesAlongText: Detail = {
  name: 'gatesAlongText', title: 'State and gates along a sample', of: 'particle', needs: 'data', kinds: ['unit'], ofSample: true,
  meaning: 'The unit\'s state and each of its gates at every step of one sample.',
  applies: (graph, group) => recurrentNode(graph, group) !== undefined,
  async compute(context, { group, particle, sample }) {
    const { data, engine } = context;
    const layer = await openRecurrent(engine, await batchModel(context.graph), group);
    if (!layer) throw new ParticlizeError({ place: group.layer, cause: 'it has no recurrent operator that could be unfolded' });
    try {
      const reading = await layer.read(await data.inputs(sample, sample + 1));
      const [steps, batch] = reading.x.shape as [number, number];
      const tokens = await sampleTokens(data, sample);
      const ways = Array.from({ length: layer.directions }, (_, direction) => unfoldReading(layer.node, direction, reading));
      const series = ways.flatMap((unfolded, direction) => [['state', unfolded.states] as const, ...unfolded.gates].map(([name, values]) => ({
        name: direction ? `${name}, backwards` : name,
        values: Float32Array.from({ length: steps }, (_, time) => values[time * batch * group.count + particle]!),
      })));
      return { kind: 'text', tokens: tokens?.length === steps ? tokens : Array.from({ length: steps }, (_, time) => String(time)), series, valueTitle: 'Value' };
    } finally {
      await layer.dispose();
    }
  },
};

interface Shares {
  readonly low: Float64Array;
  readonly high: Float64Array;
}

/** Shares of steps by gate and unit; a sentence why not; undefined when the layer has no gates. */
async function gateShares(context: BehaviourContext, group: ParticleGroup): Promise<ReadonlyMap<string, Shares> | string | undefined> {
  const { data, engine, graph, memoryBytes, task } = context;
  const names = gateNames[recurrentNode(graph, group)?.op ?? ''];
  if (!names?.length) return undefined;
  const model = await batchModel(graph);
  const layer = await openRecurrent(engine, model, group);
  if (!layer) return undefined;
  const shares = new Map(names.map((name) => [name, { low: new Float64Array(group.count), high: new Float64Array(group.count) }]));
  let total = 0;
  let spent = 0;
  try {
    const batch = Math.min(16, batchSize(memoryBytes, bytesPerSample(model.graph)));
    for (let from = 0; from < data.count && spent < mostMultiplications; from += batch) {
      throwIfCancelled(task);
      task?.progress?.(from, data.count, `Gates of ${group.layer}`);
      const reading = await layer.read(await data.inputs(from, Math.min(data.count, from + batch)));
      spent += reading.x.shape[0]! * reading.x.shape[1]! * (elementCount(reading.w.shape) + elementCount(reading.r.shape));
      for (let direction = 0; direction < layer.directions; direction++) {
        const { gates: found, error } = unfoldReading(layer.node, direction, reading);
        if (!(error <= tolerance)) return 'Its states, unfolded step by step, are not those that the engine gives, so its gates are not shown.';
        // Every gate has a value at every step.
        const counted = [...found].map(([name, values]) => addShares(shares.get(name)!, values, group.count));
        total += counted[0]!;
      }
    }
  } finally {
    await layer.dispose();
  }
  for (const { low, high } of shares.values()) {
    for (let unit = 0; unit < group.count; unit++) [low[unit], high[unit]] = [low[unit]! / total, high[unit]! / total];
  }
  return shares;
}

/** Returns the number of steps that were counted. */
function addShares({ low, high }: Shares, values: Float32Array, units: number): number {
  let steps = 0;
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!;
    if (Number.isNaN(value)) continue;
    if (at % units === 0) steps++;
    if (value < shut) low[at % units]!++;
    else if (value > open) high[at % units]!++;
  }
  return steps;
}
