import assert from 'node:assert/strict';
import { loadParse } from '../../../src/compute/parsers';
import { findDefinitions } from '../../../src/core/source/findDefinitions';
import { linkDefinitions, type LinkableLayer } from '../../../src/core/source/linkDefinitions';
import type { Language, Parse } from '../../../src/core/source/syntaxTree';

/** A definition of the shape of a well-known public one, with the layers that its model has and the line that makes each. */
interface Known {
  readonly name: string;
  readonly language: Language;
  readonly code: string;
  readonly layers: readonly (LinkableLayer & { readonly line: number })[];
}

const conv = (width: number, input: number, size = 3) => ({ type: 'Conv2d', width, tensors: [{ shape: [width, input, size, size] }] });
const norm = (width: number) => ({ type: 'BatchNorm', tensors: [{ shape: [width] }] });
const linear = (width: number, input: number) => ({ type: 'Linear', width, tensors: [{ shape: [width, input] }] });
const at = (code: string, part: string): number => {
  const place = code.indexOf(part);
  assert.ok(place >= 0 && code.indexOf(part, place + 1) < 0, `${part} stands once`);
  return code.slice(0, place).split('\n').length;
};

const cifar = `import torch.nn as nn
import torch.nn.functional as F

class Shortcut(nn.Module):
    def __init__(self, function):
        super(Shortcut, self).__init__()
        self.function = function

class Basic(nn.Module):
    expansion = 1
    def __init__(self, before, planes, stride=1, option='A'):
        super(Basic, self).__init__()
        self.conv1 = nn.Conv2d(before, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes) # one
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes) # two
        self.shortcut = nn.Sequential()
        if stride != 1 or before != planes:
            if option == 'A':
                self.shortcut = Shortcut(lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, planes // 4, planes // 4)))
            elif option == 'B':
                self.shortcut = nn.Sequential(nn.Conv2d(before, planes, kernel_size=1, stride=stride), nn.BatchNorm2d(planes))

class CifarNet(nn.Module):
    def __init__(self, block, counts, classes=10):
        super(CifarNet, self).__init__()
        self.planes = 16
        self.conv1 = nn.Conv2d(3, 16, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(block, 16, counts[0], stride=1)
        self.layer2 = self._stage(block, 32, counts[1], stride=2)
        self.layer3 = self._stage(block, 64, counts[2], stride=2)
        self.linear = nn.Linear(64, classes)

    def _stage(self, block, planes, count, stride):
        layers = []
        for step in [stride] + [1] * (count - 1):
            layers.append(block(self.planes, planes, step))
            self.planes = planes * block.expansion
        return nn.Sequential(*layers)

def small(): return CifarNet(Basic, [3, 3, 3])
def large(): return CifarNet(Basic, [9, 9, 9])
`;

function cifarLayers(count: number, prefix = ''): Known['layers'] {
  const lines = { conv1: at(cifar, 'nn.Conv2d(before, planes, kernel_size=3'), bn1: at(cifar, '# one'), conv2: at(cifar, 'nn.Conv2d(planes, planes'), bn2: at(cifar, '# two') };
  let input = 16;
  return [
    { name: `${prefix}conv1`, ...conv(16, 3), line: at(cifar, 'nn.Conv2d(3, 16') }, { name: `${prefix}bn1`, ...norm(16), line: at(cifar, 'BatchNorm2d(16)') },
    ...[16, 32, 64].flatMap((width, stage) => Array.from({ length: count }, (_, block) => {
      const path = `${prefix}layer${stage + 1}.${block}`;
      const made = [
        { name: `${path}.conv1`, ...conv(width, input), line: lines.conv1 }, { name: `${path}.bn1`, ...norm(width), line: lines.bn1 },
        { name: `${path}.conv2`, ...conv(width, width), line: lines.conv2 }, { name: `${path}.bn2`, ...norm(width), line: lines.bn2 },
      ];
      input = width;
      return made;
    }).flat()),
    { name: `${prefix}linear`, ...linear(10, 64), line: at(cifar, 'nn.Linear(64') },
  ];
}

const tiny = `import tensorflow as tf
from tensorflow.keras.layers import Dense, Flatten, Conv2D, MaxPool2D, Activation
from tensorflow.keras import Model, Sequential

class TinyNet(Model):
    def __init__(self, filters=10):
        super(TinyNet, self).__init__()
        self.conv_1_1 = Conv2D(filters, (3, 3), name='conv_1_1')
        self.conv_1_2 = Conv2D(filters, (3, 3), name='conv_1_2')
        self.fc = Dense(CLASSES, activation='softmax')

CLASSES = 10
filters = 10
net = Sequential([
    Conv2D(filters, (3, 3), input_shape=(64, 64, 3), name='conv_1_1'),
    Activation('relu', name='relu_1_1'),
    Conv2D(filters, (3, 3), name='conv_1_2'),
    Activation('relu', name='relu_1_2'),
    MaxPool2D((2, 2), name='max_pool_1'),
    Conv2D(filters, (3, 3), name='conv_2_1'),
    Conv2D(filters, (3, 3), name='conv_2_2'),
    MaxPool2D((2, 2), name='max_pool_2'),
    Flatten(name='flatten'),
    Dense(CLASSES, activation='softmax', name='output')
])
for epoch in range(1000):
    for batch in data:
        step(batch)
net.save('tiny.h5')
`;

const vgg = `import torch.nn as nn
from typing import Any, Dict, List, Union, cast
class VGG(nn.Module):
    def __init__(self, features: nn.Module, num_classes: int = 1000, init_weights: bool = True, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, num_classes),
        )
        if init_weights:
            for m in self.modules():
                if isinstance(m, nn.Conv2d):
                    nn.init.kaiming_normal_(m.weight, mode="fan_out")

def make_layers(cfg: List[Union[str, int]], batch_norm: bool = False) -> nn.Sequential:
    layers: List[nn.Module] = []
    in_channels = 3
    for v in cfg:
        if v == "M":
            layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
        else:
            v = cast(int, v)
            conv2d = nn.Conv2d(in_channels, v, kernel_size=3, padding=1)
            if batch_norm:
                layers += [conv2d, nn.BatchNorm2d(v), nn.ReLU(inplace=True)]
            else:
                layers += [conv2d, nn.ReLU(inplace=True)]
            in_channels = v
    return nn.Sequential(*layers)

cfgs: Dict[str, List[Union[str, int]]] = {
    "A": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "B": [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
}

def _vgg(cfg: str, batch_norm: bool, weights, progress: bool, **kwargs: Any) -> VGG:
    if weights is not None:
        kwargs["init_weights"] = False
    model = VGG(make_layers(cfgs[cfg], batch_norm=batch_norm), **kwargs)
    return model

def vgg11(*, weights=None, progress=True, **kwargs: Any) -> VGG:
    return _vgg("A", False, weights, progress, **kwargs)

def vgg13_bn(*, weights=None, progress=True, **kwargs: Any) -> VGG:
    return _vgg("B", True, weights, progress, **kwargs)
`;

function vggLayers(cfg: readonly (number | 'M')[], batchNorm: boolean): Known['layers'] {
  let [index, input] = [0, 3];
  const layers: (LinkableLayer & { line: number })[] = [];
  for (const one of cfg) {
    if (one === 'M') { index++; continue; }
    layers.push({ name: `features.${index++}`, ...conv(one, input), line: at(vgg, 'conv2d = nn.Conv2d') });
    if (batchNorm) layers.push({ name: `features.${index++}`, ...norm(one), line: at(vgg, 'nn.BatchNorm2d(v)') });
    index++;
    input = one;
  }
  return [
    ...layers, { name: 'classifier.0', ...linear(4096, 512 * 49), line: at(vgg, '512 * 7 * 7') },
    { name: 'classifier.3', ...linear(4096, 4096), line: at(vgg, '(4096, 4096)') }, { name: 'classifier.6', ...linear(1000, 4096), line: at(vgg, '4096, num_classes') },
  ];
}

const bert = `import torch
from torch import nn
class Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) # embeddings
class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.all_head_size = config.num_attention_heads * int(config.hidden_size / config.num_attention_heads)
        self.query = nn.Linear(config.hidden_size, self.all_head_size)
        self.key = nn.Linear(config.hidden_size, self.all_head_size)
        self.value = nn.Linear(config.hidden_size, self.all_head_size)
class SelfOutput(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) # attention
class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.self = SelfAttention(config)
        self.output = SelfOutput(config)
class Intermediate(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
class Output(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.intermediate_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) # output
class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = Output(config)
class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layer = nn.ModuleList([Layer(config) for _ in range(config.num_hidden_layers)])
class TextModel(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
`;

function bertLayers(prefix: string): Known['layers'] {
  const embedding = (rows: number) => ({ type: 'Embedding', width: 32, tensors: [{ shape: [rows, 32] }] });
  const layerNorm = { type: 'LayerNorm', tensors: [{ shape: [32] }, { shape: [32] }] };
  return [
    { name: `${prefix}embeddings.word_embeddings`, ...embedding(100), line: at(bert, 'self.word_embeddings') },
    { name: `${prefix}embeddings.position_embeddings`, ...embedding(64), line: at(bert, 'self.position_embeddings') },
    { name: `${prefix}embeddings.LayerNorm`, ...layerNorm, line: at(bert, '# embeddings') },
    ...[0, 1, 2].flatMap((index) => {
      const path = `${prefix}encoder.layer.${index}`;
      return [
        ...['query', 'key', 'value'].map((one) => ({ name: `${path}.attention.self.${one}`, ...linear(32, 32), line: at(bert, `self.${one} =`) })),
        { name: `${path}.attention.output.dense`, ...linear(32, 32), line: at(bert, 'nn.Linear(config.hidden_size, config.hidden_size)') },
        { name: `${path}.attention.output.LayerNorm`, ...layerNorm, line: at(bert, '# attention') },
        { name: `${path}.intermediate.dense`, ...linear(128, 32), line: at(bert, 'nn.Linear(config.hidden_size, config.intermediate_size)') },
        { name: `${path}.output.dense`, ...linear(32, 128), line: at(bert, 'nn.Linear(config.intermediate_size, config.hidden_size)') },
        { name: `${path}.output.LayerNorm`, ...layerNorm, line: at(bert, '# output') },
      ];
    }),
  ];
}

const digits = `import * as tf from '@tensorflow/tfjs';
const IMAGE = 28;
export function convModel() {
  const model = tf.sequential();
  model.add(tf.layers.conv2d({ inputShape: [IMAGE, IMAGE, 1], kernelSize: 3, filters: 16, activation: 'relu' }));
  model.add(tf.layers.maxPooling2d({ poolSize: 2, strides: 2 }));
  model.add(tf.layers.conv2d({ kernelSize: 3, filters: 32, activation: 'relu' }));
  model.add(tf.layers.maxPooling2d({ poolSize: 2, strides: 2 }));
  model.add(tf.layers.conv2d({ kernelSize: 3, filters: 33, activation: 'relu' }));
  model.add(tf.layers.flatten({}));
  model.add(tf.layers.dense({ units: 64, activation: 'relu' }));
  model.add(tf.layers.dense({ units: 10, activation: 'softmax' }));
  return model;
}
export function denseModel() {
  const model = tf.sequential();
  model.add(tf.layers.flatten({ inputShape: [IMAGE, IMAGE, 1] }));
  model.add(tf.layers.dense({ units: 42, activation: 'relu' }));
  model.add(tf.layers.dense({ units: 10, activation: 'softmax', name: 'last' }));
  return model;
}
`;

const kerasLayer = (name: string, type: string, width: number | undefined, line: number) => ({ name, type, ...(width === undefined ? {} : { width }), line });

const known: readonly Known[] = [
  { name: 'a residual net for small pictures (20 layers)', language: 'python', code: cifar, layers: cifarLayers(3) },
  { name: 'a residual net for small pictures (56 layers), from a parallel training', language: 'python', code: cifar, layers: cifarLayers(9, 'module.') },
  { name: 'a VGG of letters and numbers', language: 'python', code: vgg, layers: vggLayers([64, 'M', 128, 'M', 256, 256, 'M', 512, 512, 'M', 512, 512, 'M'], false) },
  { name: 'its larger one with normalisation', language: 'python', code: vgg, layers: vggLayers([64, 64, 'M', 128, 128, 'M', 256, 256, 'M', 512, 512, 'M', 512, 512, 'M'], true) },
  { name: 'a text encoder of a configuration', language: 'python', code: bert, layers: bertLayers('') },
  { name: 'a text encoder inside a classifier', language: 'python', code: bert, layers: bertLayers('bert.') },
  {
    name: 'a small VGG in Keras, beside a class of the same names', language: 'python', code: tiny,
    layers: [
      ...['conv_1_1', 'conv_1_2'].map((name) => kerasLayer(name, 'Conv2D', 10, 0)), ...['conv_2_1', 'conv_2_2'].map((name) => kerasLayer(name, 'Conv2D', 10, 0)),
      kerasLayer('output', 'Dense', 10, 0),
    ].map((layer) => ({ ...layer, line: tiny.slice(0, tiny.lastIndexOf(`name='${layer.name}'`)).split('\n').length })),
  },
  {
    name: 'a convolutional net in TensorFlow.js without names', language: 'typescript', code: digits,
    layers: [
      kerasLayer('conv2d_Conv2D1', 'Conv2D', 16, at(digits, 'filters: 16')), kerasLayer('conv2d_Conv2D2', 'Conv2D', 32, at(digits, 'filters: 32')),
      kerasLayer('conv2d_Conv2D3', 'Conv2D', 33, at(digits, 'filters: 33')), kerasLayer('dense_Dense1', 'Dense', 64, at(digits, 'units: 64')),
      kerasLayer('dense_Dense2', 'Dense', 10, at(digits, "units: 10, activation: 'softmax' }));\n  return model;\n}\nexport")),
    ],
  },
];

describe('source: linking definitions of the shapes that public repositories have', () => {
  let parse: Parse;
  const total = { layers: 0, right: 0, wronglySure: 0 };
  before(async () => {
    parse = await loadParse(['python', 'typescript']);
  });

  for (const { name, language, code, layers } of known) {
    it(`${name}: ${layers.length} layers`, () => {
      const links = linkDefinitions(findDefinitions(code, language, parse), layers);
      const wrong: string[] = [];
      for (const layer of layers) {
        const link = links.find((one) => one.layer === layer.name);
        const line = link && code.slice(0, link.definition.span.start).split('\n').length;
        total.layers++;
        if (line === layer.line) total.right++;
        else {
          wrong.push(`${layer.name}: line ${line} instead of ${layer.line} (${link?.confidence} ${link?.reason})`);
          if (link && link.confidence > 0.8) total.wronglySure++;
        }
      }
      assert.ok(wrong.length <= layers.length * 0.05, wrong.join('\n'));
    });
  }

  it('links at least 95 % of all layers rightly, and none wrongly with high confidence', () => {
    assert.ok(total.layers >= 200, `${total.layers} layers`);
    assert.ok(total.right / total.layers >= 0.95, `${total.right} of ${total.layers}`);
    assert.equal(total.wronglySure, 0);
  });
});
