import fs from 'node:fs';
import path from 'node:path';
import { openModel } from '../../../src/core/formats/registry';
import type { ModelGraph } from '../../../src/core/graph/modelGraph';
import { fileSetOf } from './backendNode';

const folder = path.join(__dirname, '../../fixtures/behaviourKinds');

interface RecurrentKind {
  readonly x: number[];
  readonly samples: number;
  readonly steps: number;
  readonly shares: Readonly<Record<string, { readonly shut: number[]; readonly open: number[] }>>;
  /** Gates and state of the second sample by name: [steps, units]. */
  readonly second: Readonly<Record<string, number[]>>;
  readonly secondBackwards: Readonly<Record<string, number[]>>;
}

/** What PyTorch, NumPy and scikit-learn say: written by test/fixtures/make/behaviourKinds.py. */
export const behaviourKinds = JSON.parse(fs.readFileSync(path.join(folder, 'expected.json'), 'utf8')) as {
  readonly lstm: RecurrentKind;
  readonly gru: RecurrentKind;
  readonly attention: { x: number[]; samples: number; steps: number; third: number[]; entropy: number[]; previous: number[]; first: number[] };
  readonly effectiveRank: readonly { shape: [number, number]; values: number[]; rank: number; singularValues: number[] }[];
  readonly map: { values: number[]; components: number[]; correlations: number[] };
  readonly probe: { values: number[]; classes: number[]; accuracy: number };
};

export function openBehaviourKind(name: 'lstm' | 'gru' | 'attention'): Promise<ModelGraph> {
  return openModel(fileSetOf(`${name}.onnx`, new Uint8Array(fs.readFileSync(path.join(folder, `${name}.onnx`)))));
}
