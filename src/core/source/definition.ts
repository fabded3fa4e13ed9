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
  /**
   * The layers that it makes, where the code could be followed: several for a definition in a loop, a factory or a class
   * that is used again and again. Missing where it could not.
   */
  readonly instances?: readonly LayerInstance[];
}

/** One of the layers that a definition makes. */
export interface LayerInstance {
  /** Which of the models that the file can make it is a layer of: 'resnet18'. */
  readonly model: string;
  /** The path or name that the model knows it by, as far as the code says: 'layer1.0.conv1'; '*' is any number. */
  readonly path?: string;
  /** Its place among the layers of that model. */
  readonly place: number;
  /** The framework makes the name up by counting: 'conv2d_3'. */
  readonly counted?: boolean;
  /** Its own sizes, by the parameter's name; what the code does not say is missing. */
  readonly sizes: Readonly<Record<string, number>>;
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
  /** Which of the definition's instances it is, where the code could be followed. */
  readonly instance?: LayerInstance;
  /** 0..1. */
  readonly confidence: number;
  readonly reason: string;
}

/**
 * What the user said of a layer, which overrides every link that is found. Kept by the host, as plain data: the definition
 * is named so that it is found again after edits of the file.
 */
export interface LinkCorrection {
  /** Name of the graph's layer. */
  readonly layer: string;
  /** Missing: the layer is defined nowhere in this file. */
  readonly definition?: DefinitionKey;
}

/** What tells a definition from the others of its file while the file is edited. */
export interface DefinitionKey {
  readonly type: string;
  readonly name?: string;
  readonly owner?: string;
  /** Among those that are alike in all of this, in the order of the text. */
  readonly index: number;
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
