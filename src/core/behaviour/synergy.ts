import type { ParticleGroup } from '../particles/particle';
import { ParticlizeError } from '../graph/errors';
import type { BehaviourContext, BehaviourFamily } from './behaviour';
import type { Detail } from './details/detail';
import { chosenGroups } from './forward';
import { openMasked, type MaskedModel } from './masked';
import { activationProfiles } from './profiles';
import { correlations } from './redundancy';

/** Up to this many particles every pair of a layer is tried. */
const allPairsOf = 12;
/** Particles whose loss matters most, of which every pair is tried in larger layers, besides each with its twin. */
const strongest = 8;

/**
 * What two particles do together that neither does alone: the change of the loss without both, minus the changes without each of
 * them (the interaction index of Grabisch and Roubens 1999, for pairs, at the whole model). Above 0 they back each other up (either
 * one does, both are missed); below 0 they need each other (with one gone the other is worth less). Exact for the pairs
 * tried: all of a small layer; else each particle with its most correlated one, and all pairs of the eight that matter most.
 */
export const synergy: BehaviourFamily = {
  needsLabels: true, onRequest: true,
  columns: [
    {
      name: 'synergyPartner', title: 'Strongest partner', unit: '', scale: 'categorical', refersTo: 'row', exact: true,
      meaning: 'The particle of the same layer, among the candidates tried, with which the loss changes most otherwise than as the sum of the two.',
    },
    {
      name: 'synergy', title: 'Strongest synergy', unit: '', scale: 'diverging', exact: true,
      meaning: 'Change of the loss without both particles minus the changes without each: above 0 they back each other up, below 0 they need each other.',
    },
  ],
  async compute(context) {
    const { table } = context;
    const [partner, value] = [table.emptyValues(), table.emptyValues()];
    const masked = await openMasked(context);
    try {
      for (const group of chosenGroups(context)) {
        for (const pair of await pairsOf(context, masked, group)) {
          for (const [own, other] of [[pair.one, pair.two], [pair.two, pair.one]] as const) {
            if (Math.abs(pair.value) <= Math.abs(value[own]!)) continue;
            [partner[own], value[own]] = [other, pair.value];
          }
        }
        context.arrived?.('synergy', value);
      }
    } finally {
      await masked.dispose();
    }
    return [partner, value];
  },
};

export const synergyPairs: Detail = {
  name: 'synergyPairs', title: 'Pairs that work together', of: 'layer', needs: 'labels',
  meaning: 'Pairs of the layer by the change of the loss without both minus the changes without each: above 0 they back each other up, below 0 they need each other.',
  async compute(context, { group }) {
    if (group.count < 2) throw new ParticlizeError({ place: group.layer, cause: 'it has one particle, and so no pairs' });
    const masked = await openMasked(context);
    try {
      const pairs = [...await pairsOf(context, masked, group)].sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
      return {
        kind: 'pairs', one: Int32Array.from(pairs, ({ one }) => one), two: Int32Array.from(pairs, ({ two }) => two),
        values: Float32Array.from(pairs, ({ value }) => value), valueTitle: 'Synergy',
      };
    } finally {
      await masked.dispose();
    }
  },
};

interface Pair {
  readonly one: number;
  readonly two: number;
  readonly value: number;
}

async function pairsOf(context: BehaviourContext, masked: MaskedModel, group: ParticleGroup): Promise<readonly Pair[]> {
  const { task } = context;
  if (group.count < 2) return [];
  const whole = (await masked.evaluate([])).loss;
  const alone: number[] = [];
  for (let particle = 0; particle < group.count; particle++) {
    task?.progress?.(particle, 2 * group.count, `Synergy in ${group.layer}`);
    alone.push((await masked.evaluate([group.firstRow + particle])).loss - whole);
  }
  const candidates = await candidatesOf(context, group, alone);
  const pairs: Pair[] = [];
  for (const [index, [one, two]] of candidates.entries()) {
    task?.progress?.(candidates.length + index, 2 * candidates.length, `Synergy in ${group.layer}`);
    const rows = [group.firstRow + one, group.firstRow + two] as const;
    const both = (await masked.evaluate(rows)).loss - whole;
    pairs.push({ one: rows[0], two: rows[1], value: both - alone[one]! - alone[two]! });
  }
  return pairs;
}

async function candidatesOf(context: BehaviourContext, group: ParticleGroup, alone: readonly number[]): Promise<readonly (readonly [number, number])[]> {
  const all = [...alone.keys()];
  if (group.count <= allPairsOf) return pairsAmong(all);
  const first = pairsAmong(all.sort((one, two) => Math.abs(alone[two]!) - Math.abs(alone[one]!)).slice(0, strongest));
  const profiles = (await activationProfiles(context, [group])).get(group)!;
  const { best } = await correlations(profiles, context.task);
  const twins = [...best].flatMap((other, particle) => (other >= 0 ? [[Math.min(particle, other), Math.max(particle, other)] as const] : []));
  const distinct = new Map([...first, ...twins].map((pair) => [pair.join(), pair]));
  return [...distinct.values()];
}

function pairsAmong(particles: readonly number[]): (readonly [number, number])[] {
  return particles.flatMap((one, index) => particles.slice(index + 1).map((two) => [Math.min(one, two), Math.max(one, two)] as const));
}
