import type { Style } from './style';

const chain = 'conv1:conv:1>16 conv2:conv:16>32 dense1:dense:512>64 dense2:dense:64>10';
const common = { language: 'typescript', input: [8, 8, 1], build: 'build()' } as const;
const rest = `tf.layers.maxPooling2d({ poolSize: 2 }), tf.layers.flatten()`;

export const tfjsStyles: readonly Style[] = [
  {
    ...common, name: 'TF.js: sequential({ layers }) with constants', model: chain, prune: { conv1: 9, conv2: 19, dense1: 41 },
    code: `
import * as tf from '@tensorflow/tfjs';
const CONV1 = 16;
const CONV2: number = 32;
export function build(): tf.Sequential {
  return tf.sequential({ layers: [
    tf.layers.conv2d({ name: 'conv1', filters: CONV1, kernelSize: 3, padding: 'same', inputShape: [8, 8, 1] }),
    tf.layers.conv2d({ name: 'conv2', filters: CONV2, kernelSize: 3, padding: 'same' }),
    ${rest},
    tf.layers.dense({ name: 'dense1', units: 64 }), tf.layers.dense({ name: 'dense2', units: 10 }),
  ] });
}
`,
    definitions: [
      'conv1 tf.layers.conv2d filters=CONV1:16', 'conv2 tf.layers.conv2d filters=CONV2:32', '- tf.layers.maxPooling2d', '- tf.layers.flatten',
      'dense1 tf.layers.dense units=64', 'dense2 tf.layers.dense units=10',
    ],
    edits: [['CONV1 = 16', 'CONV1 = 9'], ['number = 32', 'number = 19'], ['units: 64', 'units: 41']],
  },
  {
    ...common, name: 'TF.js: model.add in JavaScript with require', language: 'javascript', model: chain, prune: { conv1: 9, dense1: 41 },
    code: `
const tf = require('@tensorflow/tfjs');
exports.build = function () {
  const model = tf.sequential();
  model.add(tf.layers.conv2d({ inputShape: [8, 8, 1], filters: 16, kernelSize: 3, padding: 'same', name: 'conv1' }));
  model.add(tf.layers.conv2d({ filters: 32, kernelSize: 3, padding: 'same', name: 'conv2' }));
  model.add(tf.layers.maxPooling2d({ poolSize: 2 }));
  model.add(tf.layers.flatten());
  model.add(tf.layers.dense({ units: 64, name: 'dense1' }));
  model.add(tf.layers.dense({ units: 10, name: 'dense2' }));
  return model;
};
`,
    definitions: [
      'conv1 tf.layers.conv2d filters=16', 'conv2 tf.layers.conv2d filters=32', '- tf.layers.maxPooling2d', '- tf.layers.flatten',
      'dense1 tf.layers.dense units=64', 'dense2 tf.layers.dense units=10',
    ],
    edits: [['filters: 16', 'filters: 9'], ['units: 64', 'units: 41']],
  },
  {
    ...common, name: 'TF.js: functional with apply, chained', model: chain, prune: { conv1: 9, conv2: 19 },
    code: `
import * as tf from '@tensorflow/tfjs';
export const build = (width = 16, hidden: number = 64) => {
  const input = tf.input({ shape: [8, 8, 1] });
  const conv1 = tf.layers.conv2d({ filters: width, kernelSize: 3, padding: 'same', name: 'conv1' }).apply(input);
  const conv2 = tf.layers.conv2d({ filters: 32 as number, kernelSize: 3, padding: 'same', name: 'conv2' })
    .apply(conv1) as tf.SymbolicTensor;
  const flat = tf.layers.flatten().apply(tf.layers.maxPooling2d({ poolSize: 2 }).apply(conv2));
  const output = tf.layers.dense({ units: 10, name: 'dense2' }).apply(tf.layers.dense({ units: hidden, name: 'dense1' }).apply(flat));
  return tf.model({ inputs: input, outputs: output as tf.SymbolicTensor });
};
`,
    definitions: [
      'conv1 tf.layers.conv2d filters=width:16', 'conv2 tf.layers.conv2d filters=32', 'flat tf.layers.flatten', '- tf.layers.maxPooling2d',
      'dense2 tf.layers.dense units=10', 'dense1 tf.layers.dense units=hidden:64',
    ],
    edits: [['width = 16', 'width = 9'], ['filters: 32', 'filters: 19']],
  },
  {
    ...common, name: 'TF.js: named imports and destructured layers, without layer names', model: 'c1:conv:1>16 c2:conv:16>32 d1:dense:512>64 d2:dense:64>10',
    prune: { c1: 9, c2: 19, d1: 41 },
    code: `
import { layers, sequential } from '@tensorflow/tfjs';
const { conv2d, dense: full } = layers;
export function build() {
  const model = sequential();
  model.add(conv2d({ filters: 16, kernelSize: 3, padding: 'same', inputShape: [8, 8, 1] }));
  model.add(conv2d({ filters: 32, kernelSize: 3, padding: 'same' }));
  model.add(layers.maxPooling2d({ poolSize: 2 }));
  model.add(layers.flatten());
  model.add(full({ units: 64 }));
  model.add(full({ units: 10 }));
  return model;
}
`,
    definitions: [
      '- tf.layers.conv2d filters=16', '- tf.layers.conv2d filters=32', '- tf.layers.maxPooling2d', '- tf.layers.flatten',
      '- tf.layers.dense units=64', '- tf.layers.dense units=10',
    ],
    edits: [['filters: 16', 'filters: 9'], ['filters: 32', 'filters: 19'], ['units: 64', 'units: 41']],
  },
  {
    ...common, name: 'TF.js: a settings object', model: chain, prune: { conv1: 9, conv2: 19, dense1: 41 },
    code: `
import * as tf from '@tensorflow/tfjs';
const config = { filters: [16, 32], head: { units: 64 } } as const;
const { head } = config;
export const build = () => tf.sequential({ layers: [
  tf.layers.conv2d({ name: 'conv1', filters: config.filters[0], kernelSize: 3, padding: 'same', inputShape: [8, 8, 1] }),
  tf.layers.conv2d({ name: 'conv2', filters: config['filters'][1], kernelSize: 3, padding: 'same' }),
  ${rest},
  tf.layers.dense({ name: 'dense1', units: head.units }), tf.layers.dense({ name: 'dense2', units: 10 }),
] });
`,
    definitions: [
      'conv1 tf.layers.conv2d filters=config.filters[0]:16', "conv2 tf.layers.conv2d filters=config['filters'][1]:32", '- tf.layers.maxPooling2d',
      '- tf.layers.flatten', 'dense1 tf.layers.dense units=head.units:64', 'dense2 tf.layers.dense units=10',
    ],
    edits: [['[16, 32]', '[9, 19]'], ['units: 64', 'units: 41']],
  },
  {
    ...common, name: 'TF.js: destructured parameters with defaults', model: chain, prune: { conv1: 9, conv2: 19, dense1: 41 },
    code: `
import * as tf from '@tensorflow/tfjs';
interface Options { filters?: number; units?: number }
export function build({ filters = 16, units: hidden = 64 }: Options = {}) {
  const same = { kernelSize: 3, padding: 'same' as const };
  return tf.sequential({ layers: [
    tf.layers.conv2d({ name: 'conv1', filters, ...same, inputShape: [8, 8, 1] }),
    tf.layers.conv2d({ name: 'conv2', filters: 32, ...same }),
    ${rest},
    tf.layers.dense({ name: 'dense1', units: hidden }), tf.layers.dense({ name: 'dense2', units: 10 }),
  ] });
}
`,
    definitions: [
      'conv1 tf.layers.conv2d filters=filters:16', 'conv2 tf.layers.conv2d filters=32', '- tf.layers.maxPooling2d', '- tf.layers.flatten',
      'dense1 tf.layers.dense units=hidden:64', 'dense2 tf.layers.dense units=10',
    ],
    edits: [['filters = 16', 'filters = 9'], ['filters: 32', 'filters: 19'], ['hidden = 64', 'hidden = 41']],
  },
  {
    ...common, name: 'TF.js: a shorthand property of a constant that may not change', model: 'conv1:conv:1>16 conv2:conv:16>16 dense1:dense:256>10',
    prune: { conv1: 9 },
    code: `
import * as tf from '@tensorflow/tfjs';
const filters = 16;
export const build = () => tf.sequential({ layers: [
  tf.layers.conv2d({ name: 'conv1', filters, kernelSize: 3, padding: 'same', inputShape: [8, 8, 1] }),
  tf.layers.conv2d({ name: 'conv2', filters: filters, kernelSize: 3, padding: 'same' }),
  ${rest}, tf.layers.dense({ name: 'dense1', units: 10 }),
] });
`,
    definitions: [
      'conv1 tf.layers.conv2d filters=filters:16', 'conv2 tf.layers.conv2d filters=filters:16', '- tf.layers.maxPooling2d', '- tf.layers.flatten',
      'dense1 tf.layers.dense units=10',
    ],
    edits: [["'conv1', filters,", "'conv1', filters: 9,"]],
  },
  {
    ...common, name: 'TF.js: a class with fields', model: chain, prune: { conv1: 9, conv2: 18, dense1: 41 },
    code: `
import * as tf from '@tensorflow/tfjs';
class Builder {
  private readonly width = 16;
  static hidden = 64;
  constructor(private classes = 10) {}
  make() {
    const model = tf.sequential();
    model.add(tf.layers.conv2d({ name: 'conv1', filters: this.width, kernelSize: 3, padding: 'same', inputShape: [8, 8, 1] }));
    model.add(tf.layers.conv2d({ name: 'conv2', filters: this.width * 2, kernelSize: 3, padding: 'same' }));
    model.add(tf.layers.maxPooling2d({ poolSize: 2 }));
    model.add(tf.layers.flatten());
    model.add(tf.layers.dense({ name: 'dense1', units: Builder.hidden }));
    model.add(tf.layers.dense({ name: 'dense2', units: this.classes }));
    return model;
  }
}
export const build = () => new Builder().make();
`,
    definitions: [
      'conv1 tf.layers.conv2d filters=this.width:16', 'conv2 tf.layers.conv2d filters=this.width * 2:32!', '- tf.layers.maxPooling2d', '- tf.layers.flatten',
      'dense1 tf.layers.dense units=Builder.hidden:64', 'dense2 tf.layers.dense units=this.classes:10',
    ],
    edits: [['width = 16', 'width = 9'], ['hidden = 64', 'hidden = 41']],
  },
  {
    ...common, name: 'TF.js: a factory given tf, with arguments from its call', model: chain, prune: { conv1: 9, conv2: 19, dense1: 41 },
    code: `
import * as library from '@tensorflow/tfjs';
function make(tf: typeof library, first: number, second: number, hidden: number) {
  const model = tf.sequential();
  model.add(tf.layers.conv2d({ name: 'conv1', filters: first, kernelSize: 3, padding: 'same', inputShape: [8, 8, 1] }));
  model.add(tf.layers.conv2d({ name: 'conv2', filters: second, kernelSize: 3, padding: 'same' }));
  model.add(tf.layers.maxPooling2d({ poolSize: 2 }));
  model.add(tf.layers.flatten());
  model.add(tf.layers.dense({ name: 'dense1', units: Math.floor(hidden) }));
  model.add(tf.layers.dense({ name: 'dense2', units: 10 }));
  return model;
}
export const build = () => make(library, 16, 32, 64);
`,
    definitions: [
      'conv1 tf.layers.conv2d filters=first:16', 'conv2 tf.layers.conv2d filters=second:32', '- tf.layers.maxPooling2d', '- tf.layers.flatten',
      'dense1 tf.layers.dense units=Math.floor(hidden):64!', 'dense2 tf.layers.dense units=10',
    ],
    edits: [['library, 16, 32, 64', 'library, 9, 19, 41']],
  },
  {
    ...common, name: 'TF.js: arithmetic on module constants', model: chain, prune: { conv1: 8, conv2: 16, dense1: 41 },
    code: `
import * as tf from '@tensorflow/tfjs';
const base = 8, factor = 2;
const first = base * factor;
export const build = () => tf.sequential({ layers: [
  tf.layers.conv2d({ name: 'conv1', filters: first, kernelSize: 3, padding: 'same', inputShape: [8, 8, 1] }),
  tf.layers.conv2d({ name: 'conv2', filters: first * 2, kernelSize: 3, padding: 'same' }),
  ${rest},
  tf.layers.dense({ name: 'dense1', units: 32 + 32 }), tf.layers.dense({ name: 'dense2', units: 10 }),
] });
`,
    definitions: [
      'conv1 tf.layers.conv2d filters=first:16!', 'conv2 tf.layers.conv2d filters=first * 2:32!', '- tf.layers.maxPooling2d', '- tf.layers.flatten',
      'dense1 tf.layers.dense units=32 + 32:64!', 'dense2 tf.layers.dense units=10',
    ],
    edits: [['base = 8', 'base = 4'], ['32 + 32', '9 + 32']],
  },
  {
    ...common, name: 'TF.js: batch normalisation and depthwise', model: 'conv1:conv:1>16 bn1:norm:16 dw:depthwise:16 dense1:dense:1024>10', prune: { conv1: 9 },
    code: `
import * as tf from '@tensorflow/tfjs';
export const build = () => tf.sequential({ layers: [
  tf.layers.conv2d({ name: 'conv1', filters: 16, kernelSize: 3, padding: 'same', inputShape: [8, 8, 1] }),
  tf.layers.batchNormalization({ name: 'bn1' }),
  tf.layers.depthwiseConv2d({ name: 'dw', kernelSize: 3, padding: 'same' }),
  tf.layers.flatten(),
  tf.layers.dense({ name: 'dense1', units: 10 }),
] });
`,
    definitions: [
      'conv1 tf.layers.conv2d filters=16', 'bn1 tf.layers.batchNormalization', 'dw tf.layers.depthwiseConv2d', '- tf.layers.flatten',
      'dense1 tf.layers.dense units=10',
    ],
    edits: [['filters: 16', 'filters: 9']],
  },
  {
    ...common, name: 'TF.js: layers made by map are left to hand', model: 'c1:conv:1>16 c2:conv:16>32 d1:dense:512>64 d2:dense:64>10', prune: { c1: 9 }, runs: false,
    code: `
import * as tf from '@tensorflow/tfjs';
export const build = () => {
  const model = tf.sequential({ layers: [tf.layers.inputLayer({ inputShape: [8, 8, 1] })] });
  [16, 32].map((filters) => tf.layers.conv2d({ filters, kernelSize: 3, padding: 'same' })).forEach((layer) => model.add(layer));
  model.add(tf.layers.maxPooling2d({ poolSize: 2 }));
  model.add(tf.layers.flatten());
  model.add(tf.layers.dense({ units: 64 }));
  model.add(tf.layers.dense({ units: 10 }));
  return model;
};
`,
    definitions: [
      '- tf.layers.conv2d filters=filters:?!', '- tf.layers.maxPooling2d', '- tf.layers.flatten', '- tf.layers.dense units=64', '- tf.layers.dense units=10',
    ],
    edits: [],
    manual: ['"filters" is a parameter without a default'],
  },
];
