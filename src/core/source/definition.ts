/** A span of a source file, in UTF-16 offsets, as VS Code counts. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export type Framework = 'keras' | 'pytorch' | 'tfjs';

/** A layer as it is written in code. */
export interface LayerDefinition {
  readonly framework: Framework;
  /** Attribute or name argument, as far as it is known: 'conv1', 'features.0'. */
  readonly name?: string;
  /** Whether the model itself is bound to know the layer by that name, which a mere variable does not make sure. */
  readonly named: boolean;
  /** The outermost class or function around it: one model's definitions belong together. */
  readonly owner?: string;
  /** 'Conv2D', 'nn.Linear', 'tf.layers.dense'. */
  readonly type: string;
  /** The whole call. */
  readonly span: Span;
  /** Where a lens goes and where "Go to definition" lands. */
  readonly anchor: Span;
  /** Sizes that surgery may change: filters, units, out_channels, in_channels, num_features, ... */
  readonly sizes: readonly SizeArgument[];
}

/** 'groups' is the number of groups of a convolution, which for a depthwise one follows its width. */
export type SizeRole = 'width' | 'inputWidth' | 'groups';

export interface SizeArgument {
  readonly role: SizeRole;
  /** The parameter's own name: 'filters', 'out_channels'. */
  readonly argument: string;
  /** What is written in the call. */
  readonly span: Span;
  /** The literal that holds the number (a constant's definition, when the argument is a name). */
  readonly literal?: Span;
  readonly value?: number;
  /** Other uses of the same constant, which an edit at its definition would change too. */
  readonly sharedWith: readonly Span[];
  /** Why it cannot be edited, when there is no literal. */
  readonly reason?: string;
}

export interface Link {
  readonly definition: LayerDefinition;
  /** Name of the graph's layer. */
  readonly layer: string;
  /** 0..1. */
  readonly confidence: number;
  readonly reason: string;
}

export interface SourceEdit {
  readonly span: Span;
  readonly text: string;
  /** 'conv1: 16 → 9 kernels', shown in the refactor preview. */
  readonly label: string;
}

/** A size that must be changed by hand. */
export interface ManualEdit {
  readonly span: Span;
  readonly reason: string;
}
