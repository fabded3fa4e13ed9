import type { Style } from './style';

const chain = 'conv1:conv:1>16 conv2:conv:16>32 dense1:dense:512>64 dense2:dense:64>10';
const common = { language: 'python', input: [1, 8, 8] } as const;
const forward = `
    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.dense1(torch.flatten(x, 1)))
        return self.dense2(x)
`;

export const pytorchStyles: readonly Style[] = [
  {
    ...common, name: 'PyTorch: attributes with literals', build: 'Net()', model: chain, prune: { conv1: 9, conv2: 19, dense1: 41 },
    code: `
import torch
import torch.nn as nn
import torch.nn.functional as F

class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(in_channels=16, out_channels=32, kernel_size=3, padding=1)
        self.dense1 = nn.Linear(512, 64)
        self.dense2 = nn.Linear(in_features=64, out_features=10)
${forward}`,
    definitions: [
      'conv1 nn.Conv2d in_channels=1 out_channels=16', 'conv2 nn.Conv2d in_channels=16 out_channels=32',
      'dense1 nn.Linear in_features=512 out_features=64', 'dense2 nn.Linear in_features=64 out_features=10',
    ],
    edits: [
      ['Conv2d(1, 16', 'Conv2d(1, 9'], ['in_channels=16, out_channels=32', 'in_channels=9, out_channels=19'],
      ['Linear(512, 64)', 'Linear(304, 41)'], ['in_features=64', 'in_features=41'],
    ],
  },
  {
    ...common, name: 'PyTorch: a product of channels and picture, and the reshape before it', build: 'Net()',
    model: 'conv1:conv:1>16 fc1:dense:256>120 fc2:dense:120>10', prune: { conv1: 9, fc1: 77 },
    code: `
import torch
from torch import nn
import torch.nn.functional as F

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.fc1 = nn.Linear(16 * 4 * 4, 120)
        self.fc2 = nn.Linear(120, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = x.view(-1, 16*4*4)
        return self.fc2(F.relu(self.fc1(x)))
`,
    definitions: [
      'conv1 nn.Conv2d in_channels=1 out_channels=16', 'fc1 nn.Linear in_features=16 * 4 * 4:256! out_features=120',
      'fc2 nn.Linear in_features=120 out_features=10',
    ],
    edits: [
      ['Conv2d(1, 16', 'Conv2d(1, 9'], ['Linear(16 * 4 * 4, 120)', 'Linear(9 * 4 * 4, 77)'], ['Linear(120', 'Linear(77'], ['-1, 16*4*4', '-1, 9*4*4'],
    ],
  },
  {
    ...common, name: 'PyTorch: default arguments with products that follow', build: 'Net()', model: chain, prune: { conv1: 9, conv2: 19, dense1: 41 },
    code: `
import torch
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self, conv1_width=16, conv2_width=32, dense1_width=64):
        super().__init__()
        self.conv1 = nn.Conv2d(1, conv1_width, 3, padding=1)
        self.conv2 = nn.Conv2d(conv1_width, conv2_width, 3, padding=1)
        self.dense1 = nn.Linear(conv2_width * 4 * 4, dense1_width)
        self.dense2 = nn.Linear(dense1_width, 10)
${forward}
def load():
    return Net()
`,
    definitions: [
      'conv1 nn.Conv2d in_channels=1 out_channels=conv1_width:16', 'conv2 nn.Conv2d in_channels=conv1_width:16 out_channels=conv2_width:32',
      'dense1 nn.Linear in_features=conv2_width * 4 * 4:512! out_features=dense1_width:64',
      'dense2 nn.Linear in_features=dense1_width:64 out_features=10',
    ],
    edits: [['conv1_width=16', 'conv1_width=9'], ['conv2_width=32', 'conv2_width=19'], ['dense1_width=64', 'dense1_width=41']],
  },
  {
    ...common, name: 'PyTorch: one width for all, of which one layer changes', build: 'Net()',
    model: 'conv1:conv:1>16 conv2:conv:16>16 dense1:dense:256>10', prune: { conv1: 9 },
    code: `
import torch, torch.nn as nn
WIDTH = 16
class Net(nn.Module):
    def __init__(self, width=WIDTH):
        super().__init__()
        self.width = width
        self.conv1 = nn.Conv2d(1, self.width, 3, padding=1)
        self.conv2 = nn.Conv2d(self.width, width, 3, padding=1)
        self.dense1 = nn.Linear(width * 4 * 4, 10)
    def forward(self, x):
        return self.dense1(nn.MaxPool2d(2)(self.conv2(self.conv1(x))).flatten(1))
`,
    definitions: [
      'conv1 nn.Conv2d in_channels=1 out_channels=self.width:16', 'conv2 nn.Conv2d in_channels=self.width:16 out_channels=width:16',
      'dense1 nn.Linear in_features=width * 4 * 4:256! out_features=10', '- nn.MaxPool2d',
    ],
    edits: [['Conv2d(1, self.width', 'Conv2d(1, 9'], ['Conv2d(self.width', 'Conv2d(9']],
  },
  {
    ...common, name: 'PyTorch: a product whose constant may not change', build: 'Net()',
    model: 'conv1:conv:1>16 conv2:conv:16>16 dense1:dense:256>10', prune: { conv2: 9 },
    code: `
import torch, torch.nn as nn
W = 16
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, W, 3, padding=1)
        self.conv2 = nn.Conv2d(W, W, 3, padding=1)
        self.dense1 = nn.Linear(W * 4 * 4, 10)
    def forward(self, x):
        return self.dense1(nn.MaxPool2d(2)(self.conv2(self.conv1(x))).flatten(1))
`,
    definitions: [
      'conv1 nn.Conv2d in_channels=1 out_channels=W:16', 'conv2 nn.Conv2d in_channels=W:16 out_channels=W:16',
      'dense1 nn.Linear in_features=W * 4 * 4:256! out_features=10', '- nn.MaxPool2d',
    ],
    edits: [['Conv2d(W, W,', 'Conv2d(W, 9,'], ['Linear(W * 4', 'Linear(9 * 4']],
  },
  {
    ...common, name: 'PyTorch: Sequential members by number', build: 'Net()',
    model: 'features.0:conv:1>16 features.1:norm:16 features.3:conv:16>32 classifier.1:dense:512>64 classifier.3:dense:64>10',
    prune: { 'features.0': 9, 'features.3': 19, 'classifier.1': 41 },
    code: `
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 32, 3, padding=1),  # second
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(32 * 4 ** 2, 64), nn.ReLU(), nn.Linear(64, classes))

    def forward(self, x):
        return self.classifier(self.features(x))
`,
    definitions: [
      'features.0 nn.Conv2d in_channels=1 out_channels=16', 'features.1 nn.BatchNorm2d num_features=16', 'features.2 nn.ReLU',
      'features.3 nn.Conv2d in_channels=16 out_channels=32', 'features.4 nn.MaxPool2d', 'classifier.0 nn.Flatten',
      'classifier.1 nn.Linear in_features=32 * 4 ** 2:512! out_features=64', 'classifier.2 nn.ReLU',
      'classifier.3 nn.Linear in_features=64 out_features=classes:10',
    ],
    edits: [
      ['Conv2d(1, 16', 'Conv2d(1, 9'], ['BatchNorm2d(16)', 'BatchNorm2d(9)'], ['Conv2d(16, 32', 'Conv2d(9, 19'],
      ['Linear(32 * 4 ** 2, 64)', 'Linear(19 * 4 ** 2, 41)'], ['Linear(64,', 'Linear(41,'],
    ],
  },
  {
    ...common, name: 'PyTorch: Sequential of an OrderedDict', build: 'model',
    model: 'conv1:conv:1>16 conv2:conv:16>32 dense:dense:512>10', prune: { conv1: 9, conv2: 19 },
    code: `
from collections import OrderedDict
import torch
from torch.nn import Conv2d, Flatten, Linear, MaxPool2d, Sequential

model = Sequential(OrderedDict([
    ("conv1", Conv2d(1, 16, 3, padding=1)),
    ("conv2", Conv2d(16, 32, 3, padding=1)),
    ("pool", MaxPool2d(2)), ("flat", Flatten()),
    ("dense", Linear(512, 10)),
]))
`,
    definitions: [
      'conv1 nn.Conv2d in_channels=1 out_channels=16', 'conv2 nn.Conv2d in_channels=16 out_channels=32', 'pool nn.MaxPool2d', 'flat nn.Flatten',
      'dense nn.Linear in_features=512 out_features=10',
    ],
    edits: [['Conv2d(1, 16', 'Conv2d(1, 9'], ['Conv2d(16, 32', 'Conv2d(9, 19'], ['Linear(512', 'Linear(304']],
  },
  {
    ...common, name: 'PyTorch: ModuleList and ModuleDict', build: 'Net()',
    model: 'convs.0:conv:1>16 convs.1:conv:16>32 heads.digit:dense:512>10', prune: { 'convs.0': 9, 'convs.1': 19 },
    code: `
import torch
import torch.nn as nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)])
        self.heads = nn.ModuleDict({"digit": nn.Linear(32 * 16, 10)})

    def forward(self, x):
        for conv in self.convs:
            x = conv(x).relu()
        return self.heads["digit"](nn.functional.max_pool2d(x, 2).flatten(1))
`,
    definitions: [
      'convs.0 nn.Conv2d in_channels=1 out_channels=16', 'convs.1 nn.Conv2d in_channels=16 out_channels=32',
      'heads.digit nn.Linear in_features=32 * 16:512! out_features=10',
    ],
    edits: [['Conv2d(1, 16', 'Conv2d(1, 9'], ['Conv2d(16, 32', 'Conv2d(9, 19'], ['32 * 16', '19 * 16']],
  },
  {
    ...common, name: 'PyTorch: depthwise convolution and its groups', build: 'Net()',
    model: 'conv1:conv:1>16 bn1:norm:16 dw:depthwise:16 fc:dense:1024>10', prune: { conv1: 9 },
    code: `
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, kernel_size=3, padding=1)
        self.bn1 = nn.BatchNorm2d(num_features=16)
        self.dw = nn.Conv2d(16, 16, kernel_size=3, padding=1, groups=16)
        self.fc = nn.Linear(16 * 8 * 8, 10)

    def forward(self, x):
        return self.fc(self.dw(self.bn1(self.conv1(x)).relu()).flatten(1))
`,
    definitions: [
      'conv1 nn.Conv2d in_channels=1 out_channels=16', 'bn1 nn.BatchNorm2d num_features=16',
      'dw nn.Conv2d in_channels=16 out_channels=16 groups=16', 'fc nn.Linear in_features=16 * 8 * 8:1024! out_features=10',
    ],
    edits: [['Conv2d(1, 16', 'Conv2d(1, 9'], ['num_features=16', 'num_features=9'], ['Conv2d(16, 16', 'Conv2d(9, 9'], ['groups=16', 'groups=9'], ['Linear(16', 'Linear(9']],
  },
  {
    ...common, name: 'PyTorch: a block class used once, given its widths by a call', build: 'Net()',
    model: 'stem.conv:conv:1>16 stem.norm:norm:16 head:dense:1024>10', prune: { 'stem.conv': 9 },
    code: `
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, channels_in, channels_out):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels_out)
    def forward(self, x):
        return self.norm(self.conv(x)).relu()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = Block(1, 16)
        self.head = nn.Linear(16 * 64, 10)
    def forward(self, x):
        return self.head(self.stem(x).flatten(1))
`,
    definitions: [
      'stem.conv nn.Conv2d in_channels=channels_in:1 out_channels=channels_out:16', 'stem.norm nn.BatchNorm2d num_features=channels_out:16',
      'head nn.Linear in_features=16 * 64:1024! out_features=10',
    ],
    edits: [['Block(1, 16)', 'Block(1, 9)'], ['Linear(16 *', 'Linear(9 *']],
  },
  {
    ...common, name: 'PyTorch: a block class used twice with different widths', build: 'Net()',
    model: 'a.conv:conv:1>16 b.conv:conv:16>32 head:dense:2048>10', prune: { 'a.conv': 9 }, runs: false,
    code: `
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, channels_in, channels_out):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    def forward(self, x):
        return self.conv(x).relu()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = Block(1, 16)
        self.b = Block(16, 32)
        self.head = nn.Linear(32 * 64, 10)
    def forward(self, x):
        return self.head(self.b(self.a(x)).flatten(1))
`,
    definitions: ['conv nn.Conv2d in_channels=channels_in:?! out_channels=channels_out:?!', 'head nn.Linear in_features=32 * 64:2048! out_features=10'],
    edits: [['Block(1, 16)', 'Block(1, 9)'], ['Block(16, 32)', 'Block(9, 32)']],
  },
  {
    ...common, name: 'PyTorch: CRLF, tabs and names outside ASCII', build: 'Netz()', model: 'größe1:conv:1>16 größe2:dense:256>10', prune: { größe1: 9 },
    code: [
      'import torch', 'from torch import nn', '# 𝛼 → β', 'breite = 16', 'class Netz(nn.Module):', '\tdef __init__(self):', '\t\tsuper().__init__()',
      '\t\tself.größe1 = nn.Conv2d(1, breite, 3, padding=1)', '\t\tself.größe2 = nn.Linear(breite * 4 * 4, 10)', '',
      '\tdef forward(self, x):', '\t\treturn self.größe2(nn.functional.max_pool2d(self.größe1(x), 2).flatten(1))', '',
    ].join('\r\n'),
    definitions: ['größe1 nn.Conv2d in_channels=1 out_channels=breite:16', 'größe2 nn.Linear in_features=breite * 4 * 4:256! out_features=10'],
    edits: [['breite = 16', 'breite = 9']],
  },
  {
    ...common, name: 'PyTorch: class attributes, a list of members and add_module', build: 'Net()',
    model: 'body.0:conv:1>16 body.2:conv:16>32 head:dense:512>10', prune: { 'body.0': 9, 'body.2': 19 },
    code: `
import torch
import torch.nn as nn

class Net(nn.Module):
    widths = {"first": 16, "second": 32}

    def __init__(self):
        super().__init__()
        members = [nn.Conv2d(1, self.widths["first"], 3, padding=1), nn.ReLU(), nn.Conv2d(self.widths["first"], Net.widths["second"], 3, padding=1)]
        self.body = nn.Sequential(*members, nn.MaxPool2d(2)).to("cpu")
        self.add_module("head", nn.Linear(int(Net.widths["second"] * 4 * 4), 10))

    def forward(self, x):
        return self.head(self.body(x).flatten(1))
`,
    definitions: [
      'body.0 nn.Conv2d in_channels=1 out_channels=self.widths["first"]:16', 'body.1 nn.ReLU',
      'body.2 nn.Conv2d in_channels=self.widths["first"]:16 out_channels=Net.widths["second"]:32', 'body.3 nn.MaxPool2d',
      'head nn.Linear in_features=int(Net.widths["second"] * 4 * 4):512! out_features=10',
    ],
    edits: [['"first": 16', '"first": 9'], ['"second": 32', '"second": 19']],
  },
];
