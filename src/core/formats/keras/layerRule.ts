import type { Attribute, Shape } from '../../graph/modelGraph';
import type { DType } from '../../graph/tensor';
import type { Json, JsonObject } from '../containers/json';
import type { GateLayout } from './weightView';

/** A value of the graph in Keras's own layout, with what is known of it while reading. */
export interface KerasValue {
  readonly name: string;
  readonly shape?: Shape;
  readonly dtype?: DType;
}

/** Settings that differ between the frameworks that write Keras configurations. */
export interface KerasDialect {
  /** Slope of hard_sigmoid: 0.2 in Keras 1 and 2 and TF.js, 1/6 in Keras 3. */
  readonly hardSigmoidSlope: number;
  /** How bilinear UpSampling2D places its samples: TF.js counts from the corner, Keras from the pixel's middle. */
  readonly bilinear: 'asymmetric' | 'half_pixel';
}

/** What a layer rule sees of its layer, and the graph that it adds to. */
export interface LayerContext {
  readonly className: string;
  readonly config: JsonObject;
  readonly inputs: readonly KerasValue[];
  readonly dialect: KerasDialect;
  /** The first input; throws when there is none. */
  input(): KerasValue;
  setting(name: string): Json | undefined;
  number(name: string, otherwise: number): number;
  text(name: string, otherwise: string): string;
  flag(name: string, otherwise: boolean): boolean;
  /** A list of `count` whole numbers; one number stands for all of them. */
  sizes(name: string, count: number, otherwise?: readonly number[]): readonly number[];
  /**
   * The layer's next weight, by Keras's name for it (weights without names go by the order of the calls), as a tensor
   * of the graph: axes permuted so that axis k is the file's axis `axes[k]` (default: as it is), then with `merge` the
   * first two merged, as depthwise kernels have it: [in, multiplier, ...] -> [in * multiplier, 1, ...].
   * `alias` is its name in other versions of Keras. Throws a ParticlizeError naming layer and weight when it is missing or has another rank.
   */
  weight(suffix: string, layout?: WeightWish): WeightRef;
  /** Adds a node with one output and returns its name. */
  node(op: string, inputs: readonly string[], attributes?: Readonly<Record<string, Attribute>>, domain?: string): string;
  /** Adds a node with several outputs, of which only the wanted ones get names. */
  nodes(op: string, inputs: readonly string[], wanted: readonly boolean[], attributes?: Readonly<Record<string, Attribute>>): readonly string[];
  /**
   * The same call with the settings of a layer that this one wraps, whose configuration is the setting of that name;
   * `weights` says how the wrapped layer's part of the weights begins (forward, backward), `inputs` what it reads.
   * undefined when there is no such layer.
   */
  wrapped(setting: string, inputs: readonly KerasValue[], weights?: string): LayerContext | undefined;
  int64(hint: string, values: readonly number[]): string;
  float32(hint: string, values: readonly number[], shape?: readonly number[]): string;
  /** Records that a setting is the size of a tensor's axis (divided by what lies in each), so that saving a smaller model corrects it. */
  follows(setting: string, tensor: string, axis: number, divisor?: number): void;
  /** The same for a setting that may be left open, which then means the size of something else: it is said when the model changes. */
  says(setting: string, tensor: string, axis: number): void;
  /** Records that a setting holds the target of the Reshape that made `value`. */
  followsTarget(setting: string, value: string): void;
  /** Adds the layer as one node that nothing is known about, and a finding. */
  opaque(shape?: Shape): KerasValue;
  report(message: string): void;
  /** Throws a ParticlizeError at this layer. */
  fail(cause: string, action?: string): never;
}

export interface WeightWish {
  /** Gates of a recurrent layer, in the graph's order. */
  readonly gates?: GateLayout;
  /** Heads of attention: the axis that enumerates them and the next one, of `width`, become one. */
  readonly heads?: { readonly axis: number; readonly width: number };
  readonly axes?: readonly number[];
  readonly rank?: number;
  readonly merge?: boolean;
  readonly alias?: string;
}

export interface WeightRef {
  readonly name: string;
  /** In the graph's layout. */
  readonly shape: readonly number[];
  /** Channels that a depthwise kernel makes of each; 1 for other weights. */
  readonly multiplier: number;
}

/** Adds the nodes of one call of a layer and returns its output, or its outputs. */
export type LayerRule = (context: LayerContext) => KerasValue | readonly KerasValue[];

/** Rules by class name; one group a file, one line in layers/registry.ts. */
export type LayerGroup = Readonly<Record<string, LayerRule>>;
