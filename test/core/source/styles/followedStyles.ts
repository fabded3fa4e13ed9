import type { Language } from '../../../../src/core/source/syntaxTree';

/** A way to write a model whose layers are made by loops, factories and blocks. */
export interface FollowedStyle {
  readonly name: string;
  readonly language: Language;
  readonly code: string;
  /** Evaluated after the code has run: the model. */
  readonly build: string;
  /** One sample, without the batch. */
  readonly input: readonly number[];
}

const torch = { language: 'python', input: [1, 8, 8] } as const;
const keras = { language: 'python', input: [8, 8, 1] } as const;
const head = 'import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n';
const kerasHead = 'import keras\nfrom keras import layers\n\n';

export const followedStyles: readonly FollowedStyle[] = [
  { ...torch, name: 'PyTorch: one literal in a loop that appends', build: 'Net()', code: `${head}class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 12, 3, padding=1)
        self.layers = nn.ModuleList()
        for i in range(3):
            self.layers.append(nn.Conv2d(12, 12, 3, padding=1))
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        x = F.relu(self.stem(x))
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))
` },
  { ...torch, name: 'PyTorch: a comprehension over a counter', build: 'Net()', code: `${head}class Net(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.first = nn.Linear(64, hidden)
        self.blocks = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(2)])
        self.out = nn.Linear(hidden, 10)

    def forward(self, x):
        x = torch.tanh(self.first(torch.flatten(x, 1)))
        for block in self.blocks:
            x = torch.tanh(block(x))
        return self.out(x)
` },
  { ...torch, name: 'PyTorch: widths in a list, in pairs by zip', build: 'Mlp()', code: `${head}class Mlp(nn.Module):
    def __init__(self, sizes=(64, 40, 24, 10)):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:]))

    def forward(self, x):
        x = x.flatten(1)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)
` },
  { ...torch, name: 'PyTorch: a VGG from a list with letters', build: 'vgg()', code: `${head}cfgs = {'S': [8, 'M', 16, 16, 'M']}

class VGG(nn.Module):
    def __init__(self, features, num_classes=10):
        super(VGG, self).__init__()
        self.features = features
        self.classifier = nn.Sequential(nn.Linear(16 * 2 * 2, 32), nn.ReLU(True), nn.Dropout(), nn.Linear(32, num_classes))

    def forward(self, x):
        x = self.features(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)

def make_layers(cfg, batch_norm=False):
    layers = []
    in_channels = 1
    for v in cfg:
        if v == 'M':
            layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
        else:
            conv2d = nn.Conv2d(in_channels, v, kernel_size=3, padding=1)
            if batch_norm:
                layers += [conv2d, nn.BatchNorm2d(v), nn.ReLU(inplace=True)]
            else:
                layers += [conv2d, nn.ReLU(inplace=True)]
            in_channels = v
    return nn.Sequential(*layers)

def vgg():
    return VGG(make_layers(cfgs['S'], batch_norm=True))
` },
  { ...torch, name: 'PyTorch: blocks of one class with widths in the calls', build: 'Net()', code: `${head}class ConvBlock(nn.Module):
    def __init__(self, cin, cout, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 3, stride=stride, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(ConvBlock(1, 8), ConvBlock(8, 16, stride=2), ConvBlock(16, 20))
        self.fc = nn.Linear(20, 10)

    def forward(self, x):
        x = self.body(x).mean(dim=(2, 3))
        return self.fc(x)
` },
  { ...torch, name: 'PyTorch: a function that returns Sequential', build: 'Net()', code: `${head}def conv_bn(inp, oup, stride):
    return nn.Sequential(nn.Conv2d(inp, oup, 3, stride, 1, bias=False), nn.BatchNorm2d(oup), nn.ReLU6(inplace=True))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(conv_bn(1, 8, 2), conv_bn(8, 12, 1), nn.AvgPool2d(4))
        self.fc = nn.Linear(12, 10)

    def forward(self, x):
        x = self.model(x)
        x = x.view(-1, 12)
        return self.fc(x)
` },
  { ...torch, name: 'PyTorch: add_module with counted names', build: 'Net()', code: `${head}class Net(nn.Sequential):
    def __init__(self):
        super().__init__()
        widths_of = [1, 8, 12]
        for i in range(2):
            self.add_module(f"conv{i}", nn.Conv2d(widths_of[i], widths_of[i + 1], 3, padding=1))
            self.add_module("relu%d" % i, nn.ReLU())
        self.add_module("pool", nn.AdaptiveAvgPool2d(1))
        self.add_module("flat", nn.Flatten())
        self.add_module("fc", nn.Linear(widths_of[-1], 10))
` },
  { ...torch, name: 'PyTorch: ModuleDict and a configuration', build: 'Net(CFG)', code: `${head}CFG = {"width": 16, "hidden": [32, 24]}

class Net(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.parts = nn.ModuleDict({"conv": nn.Conv2d(1, cfg["width"], 3, padding=1), "norm": nn.BatchNorm2d(cfg["width"])})
        self.a = nn.Linear(cfg["width"] * 16, cfg["hidden"][0])
        self.b = nn.Linear(cfg["hidden"][0], cfg["hidden"][1])
        self.c = nn.Linear(cfg["hidden"][1], 10)

    def forward(self, x):
        x = F.max_pool2d(F.leaky_relu(self.parts["norm"](self.parts["conv"](x)), 0.1), 2)
        x = x.reshape(x.size(0), -1)
        return self.c(F.gelu(self.b(F.gelu(self.a(x)))))

net = Net(CFG)
` },
  { ...torch, name: 'PyTorch: arguments of a command line', build: 'Net(args.hidden)', code: `${head}import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--hidden", type=int, default=48, help="width")
args, _ = parser.parse_known_args([])

class Net(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.net = nn.Sequential(*[nn.Flatten(), nn.Linear(64, hidden), nn.ELU(), nn.Linear(hidden, 10)])

    def forward(self, x):
        return self.net(x)

model = Net(args.hidden)
` },
  { ...torch, name: 'PyTorch: a residual net of a factory', build: 'resnet()', code: `${head}class Block(nn.Module):
    expansion = 1

    def __init__(self, inplanes, planes, stride=1, downsample=None):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x):
        identity = x
        out = self.bn1(self.conv1(x))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return F.relu(out)

class ResNet(nn.Module):
    def __init__(self, block, layers, num_classes=10):
        super().__init__()
        self.inplanes = 8
        self.conv1 = nn.Conv2d(1, self.inplanes, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(self.inplanes)
        self.layer1 = self._make_layer(block, 12, layers[0], 2)
        self.layer2 = self._make_layer(block, 16, layers[1], 2)
        self.fc = nn.Linear(16 * block.expansion, num_classes)

    def _make_layer(self, block, planes, blocks, stride):
        downsample = None
        if stride != 1 or self.inplanes != planes * block.expansion:
            downsample = nn.Sequential(nn.Conv2d(self.inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))
        layers = [block(self.inplanes, planes, stride, downsample)]
        self.inplanes = planes * block.expansion
        for _ in range(1, blocks):
            layers.append(block(self.inplanes, planes))
        return nn.Sequential(*layers)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer2(self.layer1(x))
        x = F.avg_pool2d(x, x.size()[3])
        x = x.view(x.size(0), -1)
        return self.fc(x)

def resnet(**kwargs):
    return ResNet(Block, [2, 2], **kwargs)
` },
  { ...torch, name: 'PyTorch: two branches that are joined', build: 'Fork()', code: `${head}class Fork(nn.Module):
    def __init__(self, width=8):
        super(Fork, self).__init__()
        self.left = nn.Conv2d(1, width, kernel_size=1)
        self.right = nn.Conv2d(1, width * 2, kernel_size=3, padding=1)
        self.mix = nn.Conv2d(width * 3, 12, kernel_size=1)
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        x = torch.cat([F.relu(self.left(x)), F.relu(self.right(x))], dim=1)
        x = F.relu(self.mix(x))
        return self.head(torch.flatten(F.adaptive_max_pool2d(x, (1, 1)), 1))
` },
  { ...keras, name: 'Keras: a helper that makes a block', build: 'make()', code: `${kerasHead}def block(x, filters, name):
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name + "_conv")(x)
    x = layers.BatchNormalization(name=name + "_bn")(x)
    return layers.ReLU(name=name + "_relu")(x)

def make():
    inputs = keras.Input((8, 8, 1))
    x = block(inputs, 8, "a")
    x = block(x, 12, "b")
    x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(10, name="out")(x))
` },
  { ...keras, name: 'Keras: a loop with names by format', build: 'model', code: `${kerasHead}x = inputs = keras.Input((8, 8, 1))
for i, f in enumerate([8, 12, 16]):
    x = layers.Conv2D(f, 3, padding="same", activation="relu", name=f"conv_{i}")(x)
x = layers.GlobalAveragePooling2D()(x)
model = keras.Model(inputs, layers.Dense(10, name="head")(x))
` },
  { ...keras, name: 'Keras: one literal in a loop', build: 'model', code: `${kerasHead}model = keras.Sequential()
model.add(keras.Input((8, 8, 1)))
for _ in range(3):
    model.add(layers.Conv2D(12, 3, padding="same", activation="relu"))
model.add(layers.GlobalMaxPooling2D())
model.add(layers.Dense(10))
` },
  { ...keras, name: 'Keras: a configuration of blocks', build: 'build(CONFIG)', code: `${kerasHead}CONFIG = {"blocks": [{"filters": 8, "kernel": 3}, {"filters": 16, "kernel": 5}], "dense": 32}

def build(config):
    model = keras.models.Sequential([keras.layers.Input((8, 8, 1))])
    for spec in config["blocks"]:
        model.add(layers.Conv2D(spec["filters"], spec["kernel"], padding="same", activation="relu"))
        model.add(layers.MaxPool2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(config["dense"], activation="tanh"))
    model.add(layers.Dense(10))
    return model

model = build(CONFIG)
` },
];
