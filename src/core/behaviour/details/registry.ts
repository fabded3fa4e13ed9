import type { ModelGraph } from '../../graph/modelGraph';
import type { ParticleGroup } from '../../particles/particle';
import type { ParticleTable } from '../../particles/particleTable';
import type { Detail, DetailInfo } from './detail';
import { attentionPattern } from '../attentionHeads';
import { connectionMatrix, strongestConnections } from '../connections';
import { effectAlongGroups } from '../effectByGroup';
import { separatedItems } from '../factors';
import { contributionByOutput } from '../outputContribution';
import { correlationByOutput } from '../outputCorrelation';
import { componentMap, neighbourMap } from '../particleMap';
import { gateSaturation, gatesAlongText } from '../recurrentGates';
import { synergyPairs } from '../synergy';
import { activationHistogram } from './activationHistogram';
import { responseByClass } from './responseByClass';
import { similarityMatrix } from './similarityMatrix';
import { singularValues } from './singularValues';
import { topSamples } from './topSamples';

/** Every result with many values; a new one is one file and one line here. */
export const details: readonly Detail[] = [
  topSamples, activationHistogram, responseByClass, correlationByOutput, contributionByOutput, attentionPattern, gateSaturation, gatesAlongText,
  separatedItems, effectAlongGroups, componentMap, neighbourMap, connectionMatrix, strongestConnections, synergyPairs, similarityMatrix, singularValues,
];

/** Those that apply to a layer (and to its particles). */
export function detailsFor(graph: ModelGraph, table: ParticleTable, group: ParticleGroup): readonly Detail[] {
  return details.filter(({ kinds, applies }) => (!kinds || kinds.includes(group.kind)) && (!applies || applies(graph, group, table)));
}

/** What travels of a detail. */
export function detailInfo({ name, title, meaning, of, needs, ofSample }: Detail): DetailInfo {
  return { name, title, meaning, of, needs, ...(ofSample && { ofSample }) };
}
