"""The nets of forwardModels.ts in PyTorch, for forward.bench.ts: python3 forward.py THREADS

Reads the name of a net a line, runs it once and writes its milliseconds, on the clock and of the processor, and its number of parameters.
"""

import sys
import time

import torch
from torch import nn

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)


def conv_norm(i, o, k, stride=1, groups=1, act=None):
    layers = [nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *([act] if act else []))


class Block(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        stride = 1 if i == o else 2
        self.body = nn.Sequential(conv_norm(i, o, 3, stride, act=nn.ReLU()), conv_norm(o, o, 3))
        self.short = nn.Identity() if i == o else conv_norm(i, o, 1, stride)

    def forward(self, x):
        return torch.relu(self.body(x) + self.short(x))


def resnet20():
    widths = [16] * 4 + [32] * 3 + [64] * 3
    blocks = [Block(i, o) for i, o in zip(widths, widths[1:])]
    net = nn.Sequential(conv_norm(3, 16, 3, act=nn.ReLU()), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    return net, torch.randn(32, 3, 32, 32)


def vgg():
    layers, i = [], 3
    for o in (64, 128, 256):
        for _ in range(2):
            layers += [nn.Conv2d(i, o, 3, padding=1), nn.ReLU()]
            i = o
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4096, 256), nn.ReLU(), nn.Linear(256, 10)), torch.randn(8, 3, 32, 32)


def mobilenet():
    layers, i = [conv_norm(3, 32, 3, 2, act=nn.ReLU6())], 32
    for index, o in enumerate([64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]):
        layers += [conv_norm(i, i, 3, 2 if index in (1, 3, 5, 11) else 1, i, nn.ReLU6()), conv_norm(i, o, 1, act=nn.ReLU6())]
        i = o
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 1000)), torch.randn(1, 3, 224, 224)


def lstm():
    return nn.LSTM(128, 256, 2), torch.randn(100, 8, 128)


def transformer():
    layer = nn.TransformerEncoderLayer(256, 8, 1024, dropout=0, activation="gelu", batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 4, nn.LayerNorm(256), enable_nested_tensor=False), torch.randn(4, 128, 256)


nets = {}
for line in sys.stdin:
    name = line.strip()
    if name not in nets:
        net, x = globals()[name]()
        nets[name] = net.eval(), x, sum(p.numel() for p in net.parameters())
    net, x, parameters = nets[name]
    with torch.inference_mode():
        start, used = time.perf_counter(), time.process_time()
        net(x)
        print((time.perf_counter() - start) * 1000, (time.process_time() - used) * 1000, parameters, flush=True)
