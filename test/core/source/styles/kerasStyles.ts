import type { Style } from './style';

const chain = 'conv1:conv:1>16 conv2:conv:16>32 dense1:dense:512>64 dense2:dense:64>10';
const automatic = 'conv2d:conv:1>16 conv2d_1:conv:16>32 dense:dense:512>64 dense_1:dense:64>10';
const common = { language: 'python', input: [8, 8, 1] } as const;

export const kerasStyles: readonly Style[] = [
  {
    ...common, name: 'Keras: a Sequential list with literals', build: 'build_model()', model: chain, prune: { conv1: 9, conv2: 19, dense1: 41 },
    code: `
import keras
from keras import layers

def build_model():
    return keras.Sequential([
        keras.Input(shape=(8, 8, 1)),
        layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),
        layers.Conv2D(filters=32, kernel_size=3, padding="same", name="conv2"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(64, activation="relu", name="dense1"),
        layers.Dense(units=10, name="dense2"),
    ])
`,
    definitions: [
      'conv1 Conv2D filters=16', 'conv2 Conv2D filters=32', '- MaxPooling2D', '- Flatten', 'dense1 Dense units=64', 'dense2 Dense units=10',
    ],
    edits: [['Conv2D(16, 3', 'Conv2D(9, 3'], ['filters=32', 'filters=19'], ['Dense(64', 'Dense(41']],
  },
  {
    ...common, name: 'Keras: .add without names, linked by order', build: 'model', model: automatic, prune: { conv2d: 9, dense: 41 },
    code: `
from keras.models import Sequential
from keras.layers import Conv2D, Dense as FullyConnected, Flatten, Input, MaxPooling2D
model = Sequential()
model.add(Input((8, 8, 1)))
model.add(Conv2D(16, (3, 3), padding='same'))
model.add(Conv2D(32, (3, 3), padding='same'))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Flatten())
model.add(FullyConnected(64))
model.add(FullyConnected(10))
`,
    definitions: ['- Conv2D filters=16', '- Conv2D filters=32', '- MaxPooling2D', '- Flatten', '- Dense units=64', '- Dense units=10'],
    edits: [['Conv2D(16,', 'Conv2D(9,'], ['Connected(64)', 'Connected(41)']],
  },
  {
    ...common, name: 'Keras: functional calls with tf.keras', build: 'model', model: chain, prune: { conv1: 7, conv2: 32, dense1: 33 },
    code: `
import tensorflow as tf

inputs = tf.keras.Input(shape=(8, 8, 1))
x = tf.keras.layers.Conv2D(16, 3, padding="same", name="conv1")(inputs)
x = tf.keras.layers.Conv2D(32, 3, padding="same", name="conv2")(x)
x = tf.keras.layers.MaxPooling2D(2)(x)
x = tf.keras.layers.Flatten()(x)
x = tf.keras.layers.Dense(64, name="dense1")(x)
outputs = tf.keras.layers.Dense(10, name="dense2")(x)
model = tf.keras.Model(inputs, outputs)
`,
    definitions: [
      'conv1 Conv2D filters=16', 'conv2 Conv2D filters=32', '- MaxPooling2D', '- Flatten', 'dense1 Dense units=64', 'dense2 Dense units=10',
    ],
    edits: [['Conv2D(16', 'Conv2D(7'], ['Dense(64', 'Dense(33']],
  },
  {
    ...common, name: 'Keras: module constants, one of them shared by two layers that agree', build: 'model',
    model: 'conv1:conv:1>16 conv2:conv:16>16 dense1:dense:256>10', prune: { conv1: 9, conv2: 9 },
    code: `
import keras as k
WIDTH = 16
L = k.layers
model = k.Sequential([k.Input((8, 8, 1)), L.Conv2D(WIDTH, 3, padding="same", name="conv1"),
    L.Conv2D(WIDTH, 3, padding="same", name="conv2"), L.MaxPooling2D(2), L.Flatten(), L.Dense(10, name="dense1")])
print(f"width {WIDTH}")
`,
    definitions: ['conv1 Conv2D filters=WIDTH:16', 'conv2 Conv2D filters=WIDTH:16', '- MaxPooling2D', '- Flatten', 'dense1 Dense units=10'],
    edits: [['WIDTH = 16', 'WIDTH = 9']],
  },
  {
    ...common, name: 'Keras: a shared constant whose uses want different numbers', build: 'model',
    model: 'conv1:conv:1>16 conv2:conv:16>16 dense1:dense:256>10', prune: { conv1: 9 },
    code: `
from tensorflow import keras
from tensorflow.keras import layers
WIDTH = 16
model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(WIDTH, 3, padding="same", name="conv1"),
    layers.Conv2D(filters=WIDTH, kernel_size=3, padding="same", name="conv2"), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(10, name="dense1")])
`,
    definitions: ['conv1 Conv2D filters=WIDTH:16', 'conv2 Conv2D filters=WIDTH:16', '- MaxPooling2D', '- Flatten', 'dense1 Dense units=10'],
    edits: [['Conv2D(WIDTH', 'Conv2D(9']],
  },
  {
    ...common, name: 'Keras: a constant that is an image size as well stays', build: 'model',
    model: 'conv1:conv:1>8 dense1:dense:512>10', prune: { conv1: 5 },
    code: `
import keras
from keras import layers
SIZE = 8
model = keras.Sequential([keras.Input((SIZE, SIZE, 1)), layers.Conv2D(SIZE, 3, padding="same", name="conv1"), layers.Flatten(), layers.Dense(10, name="dense1")])
`,
    definitions: ['conv1 Conv2D filters=SIZE:8', '- Flatten', 'dense1 Dense units=10'],
    edits: [['Conv2D(SIZE', 'Conv2D(5']],
  },
  {
    ...common, name: 'Keras: default arguments and arithmetic that follows', build: 'build_model()', model: chain, prune: { conv1: 9, conv2: 18, dense1: 41 },
    code: `
import keras
from keras import layers

def build_model(width=16, hidden: int = 64, *, classes=10):
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(width, 3, padding="same", name="conv1")(inputs)
    x = layers.Conv2D(width * 2, 3, padding="same", name="conv2")(x)
    x = layers.Flatten()(layers.MaxPooling2D(2)(x))
    x = layers.Dense(hidden, name="dense1")(x)
    return keras.Model(inputs, layers.Dense(classes, name="dense2")(x))

if __name__ == "__main__":
    build_model().summary()
`,
    definitions: [
      'conv1 Conv2D filters=width:16', 'conv2 Conv2D filters=width * 2:32!', '- Flatten', '- MaxPooling2D',
      'dense1 Dense units=hidden:64', 'dense2 Dense units=classes:10',
    ],
    edits: [['width=16', 'width=9'], ['int = 64', 'int = 41']],
  },
  {
    ...common, name: 'Keras: arithmetic that does not follow', build: 'build_model()', model: chain, prune: { conv1: 9 },
    code: `
import keras
from keras import layers

def build_model(width=16):
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(width, 3, padding="same", name="conv1")(inputs)
    x = layers.Conv2D(width * 2, 3, padding="same", name="conv2")(x)
    x = layers.Dense(32 * 2, name="dense1")(layers.Flatten()(layers.MaxPooling2D(2)(x)))
    return keras.Model(inputs, layers.Dense(10, name="dense2")(x))
`,
    definitions: [
      'conv1 Conv2D filters=width:16', 'conv2 Conv2D filters=width * 2:32!', 'dense1 Dense units=32 * 2:64!', '- Flatten', '- MaxPooling2D',
      'dense2 Dense units=10',
    ],
    edits: [['Conv2D(width, 3', 'Conv2D(9, 3']],
  },
  {
    ...common, name: 'Keras: a subclassed model with attributes', build: 'Digits()', model: chain, prune: { conv1: 9, conv2: 19, dense1: 41 },
    code: `
import keras
from keras import layers

class Digits(keras.Model):
    hidden = 64

    def __init__(self, filters=(16, 32), **kwargs):
        super().__init__(**kwargs)
        first, second = 16, 32
        self.width = first
        self.conv1 = layers.Conv2D(self.width, 3, padding="same", name="conv1")
        self.conv2 = layers.Conv2D(second, 3, padding="same", name="conv2")
        self.pool = layers.MaxPooling2D(2)
        self.flatten = layers.Flatten()
        self.dense1 = layers.Dense(self.hidden, name="dense1")
        self.dense2 = layers.Dense(10, name="dense2")

    def call(self, x):
        x = self.pool(self.conv2(self.conv1(x)))
        return self.dense2(self.dense1(self.flatten(x)))
`,
    definitions: [
      'conv1 Conv2D filters=self.width:16', 'conv2 Conv2D filters=second:32', 'pool MaxPooling2D', 'flatten Flatten',
      'dense1 Dense units=self.hidden:64', 'dense2 Dense units=10',
    ],
    edits: [['first, second = 16, 32', 'first, second = 9, 19'], ['hidden = 64', 'hidden = 41']],
  },
  {
    ...common, name: 'Keras: a dictionary of settings', build: 'model', model: chain, prune: { conv1: 9, conv2: 19, dense1: 41 },
    code: `
import keras
from keras import layers
cfg = {"filters": [16, 32], "head": {"units": 64}}
options = dict(kernel_size=3, padding="same")
model = keras.Sequential([
    keras.Input((8, 8, 1)),
    layers.Conv2D(cfg["filters"][0], name="conv1", **options),
    layers.Conv2D(cfg["filters"][-1], name="conv2", **options),
    layers.MaxPooling2D(2), layers.Flatten(),
    layers.Dense(cfg["head"]["units"], name="dense1"),
    layers.Dense(10, name="dense2"),
])
`,
    definitions: [
      'conv1 Conv2D filters=cfg["filters"][0]:16', 'conv2 Conv2D filters=cfg["filters"][-1]:32', '- MaxPooling2D', '- Flatten',
      'dense1 Dense units=cfg["head"]["units"]:64', 'dense2 Dense units=10',
    ],
    edits: [['[16, 32]', '[9, 19]'], ['"units": 64', '"units": 41']],
  },
  {
    ...common, name: 'Keras: depthwise, separable and batch normalisation', build: 'model',
    model: 'conv1:conv:1>16 bn1:norm:16 dw:depthwise:16 dense1:dense:1024>10', prune: { conv1: 9 },
    code: `
import keras
from keras import layers
model = keras.Sequential([
    keras.Input((8, 8, 1)),
    layers.Conv2D(16, 3, padding="same", name="conv1"),
    layers.BatchNormalization(name="bn1"),
    layers.DepthwiseConv2D(3, padding="same", name="dw"),
    layers.Flatten(),
    layers.Dense(10, name="dense1"),
])
`,
    definitions: ['conv1 Conv2D filters=16', 'bn1 BatchNormalization', 'dw DepthwiseConv2D', '- Flatten', 'dense1 Dense units=10'],
    edits: [['Conv2D(16', 'Conv2D(9']],
  },
  {
    ...common, name: 'Keras: a data class of settings passed to a factory', build: 'build(Settings())', model: chain, prune: { conv1: 9, dense1: 41 },
    code: `
from dataclasses import dataclass
import keras
from keras.layers import *

@dataclass
class Settings:
    filters: int = 16
    hidden: int = 64

def build(settings):
    return keras.Sequential([
        Input((8, 8, 1)), Conv2D(settings.filters, 3, padding="same", name="conv1"),
        Conv2D(32, 3, padding="same", name="conv2"), MaxPooling2D(2), Flatten(),
        Dense(settings.hidden, name="dense1"), Dense(10, name="dense2")])

model = build(Settings())
`,
    definitions: [
      'conv1 Conv2D filters=settings.filters:16', 'conv2 Conv2D filters=32', '- MaxPooling2D', '- Flatten',
      'dense1 Dense units=settings.hidden:64', 'dense2 Dense units=10',
    ],
    edits: [['filters: int = 16', 'filters: int = 9'], ['hidden: int = 64', 'hidden: int = 41']],
  },
  {
    ...common, name: 'Keras: a loop over a list of widths', build: 'model', model: automatic, prune: { conv2d: 9 }, runs: false,
    code: `
import keras
from keras import layers
model = keras.Sequential([keras.Input((8, 8, 1))])
for width in [16, 32]:
    model.add(layers.Conv2D(width, 3, padding="same"))
model.add(layers.MaxPooling2D(2))
model.add(layers.Flatten())
model.add(layers.Dense(64))
model.add(layers.Dense(10))
`,
    definitions: ['- Conv2D filters=width:?!', '- MaxPooling2D', '- Flatten', '- Dense units=64', '- Dense units=10'],
    edits: [['[16, 32]', '[9, 32]']],
  },
  {
    ...common, name: 'Keras: a block function that is called twice with one literal inside', build: 'model',
    model: 'conv2d:conv:1>16 conv2d_1:conv:16>16 dense:dense:256>10', prune: { conv2d: 9 }, runs: false,
    code: `
import keras
from keras import layers
def block(x):
    return layers.Conv2D(16, 3, padding="same")(x)
inputs = keras.Input((8, 8, 1))
x = block(inputs)
x = block(x)
model = keras.Model(inputs, layers.Dense(10)(layers.Flatten()(layers.MaxPooling2D(2)(x))))
`,
    definitions: ['- Conv2D filters=16', '- Dense units=10', '- Flatten', '- MaxPooling2D'],
    edits: [],
    manual: ['one definition makes 2 layers that need different sizes'],
  },
];
