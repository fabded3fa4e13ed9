"""Captum's side of captum.bench.ts: python3 layerAblation.py THREADS FOLDER MODELS

Writes three networks as ONNX with samples and recipes into FOLDER, then reads lines of JSON {"net", "layer", "step"} and answers with
{"ms", "channels", "changes"}: what LayerFeatureAblation says of every step-th channel of a layer, one feature a channel, and
how long it took. MODELS is a folder with ../shared/models's ResNet-20, Tiny VGG and CIFAR-10 images; random weights and
images without it.
"""

import csv
import json
import os
import sys
import time
import warnings

import numpy as np
import torch
from captum.attr import LayerFeatureAblation
from torch import nn
from torch.nn import functional as F

warnings.filterwarnings("ignore")
THREADS, FOLDER, MODELS = int(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.set_num_threads(THREADS)
torch.manual_seed(0)


class Block(nn.Module):
    """He et al., 2015. Shortcuts by 1x1 convolutions, or (CIFAR's option A) by every second pixel and zero channels."""

    def __init__(self, i, o, stride, padded):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.padded = padded and stride > 1
        self.extra = (o - i) // 2
        self.shortcut = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o)) if stride > 1 and not padded else None

    def forward(self, x):
        short = x
        if self.padded:
            short = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra, self.extra))
        elif self.shortcut is not None:
            short = self.shortcut(x)
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + short)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        widths = [16] * 4 + [32] * 3 + [64] * 3
        blocks = [Block(i, o, 2 if i != o else 1, True) for i, o in zip(widths, widths[1:])]
        self.layer1, self.layer2, self.layer3 = (nn.Sequential(*blocks[at:at + 3]) for at in (0, 3, 6))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        widths = [64, 64, 64, 128, 128, 256, 256, 512, 512]
        blocks = [Block(i, o, 2 if i != o else 1, False) for i, o in zip(widths, widths[1:])]
        self.layer1, self.layer2, self.layer3, self.layer4 = (nn.Sequential(*blocks[at:at + 2]) for at in (0, 2, 4, 6))
        self.linear = nn.Linear(512, 100)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.linear(self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3)))


class TinyVgg(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_1_1, self.conv_1_2 = nn.Conv2d(3, 10, 3), nn.Conv2d(10, 10, 3)
        self.conv_2_1, self.conv_2_2 = nn.Conv2d(10, 10, 3), nn.Conv2d(10, 10, 3)
        self.output = nn.Linear(1690, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv_1_2(F.relu(self.conv_1_1(x)))), 2)
        x = F.max_pool2d(F.relu(self.conv_2_2(F.relu(self.conv_2_1(x)))), 2)
        return self.output(x.flatten(1))


def shared(*path):
    file = os.path.join(MODELS, *path)
    return file if MODELS and os.path.exists(file) else None


def load_resnet20(net):
    file = shared("pytorch", "resnet-cifar10", "resnet20-12fca82f.th")
    if not file:
        return "random weights"
    state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    net.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
    return "trained on CIFAR-10"


def load_tiny_vgg(net):
    folder = shared("tfjs-layers", "cnn-explainer-tinyvgg")
    if not folder:
        return "random weights"
    with open(os.path.join(folder, "model.json")) as file:
        groups = json.load(file)["weightsManifest"]
    at, data = 0, np.fromfile(os.path.join(folder, groups[0]["paths"][0]), np.float32)
    state = {}
    for weight in groups[0]["weights"]:
        size = int(np.prod(weight["shape"]))
        value = torch.from_numpy(data[at:at + size].reshape(weight["shape"]))
        at += size
        if value.dim() == 4:
            value = value.permute(3, 2, 0, 1)
        elif value.dim() == 2:
            # Rows are (y, x, channel) there, (channel, y, x) here.
            value = value.reshape(13, 13, 10, 10).permute(3, 2, 0, 1).reshape(10, 1690)
        state[weight["name"].replace("/kernel", ".weight").replace("/bias", ".bias")] = value.contiguous()
    net.load_state_dict(state)
    return "trained, from CNN Explainer"


def spread(net):
    """Statistics as after training, roughly: channels that differ."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.2, 1.2)
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return "random weights"


def pictures(count):
    file = shared("data", "eran-cifar-mnist-100", "cifar10_test.csv")
    if not file:
        return torch.rand(count, 3, 32, 32), torch.randint(0, 10, (count,))
    with open(file) as lines:
        rows = np.array([[int(cell) for cell in row if cell] for row in csv.reader(lines)][:count])
    return torch.from_numpy(rows[:, 1:].reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2).astype(np.float32) / 255), torch.from_numpy(rows[:, 0])


MEAN, STD = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]
# Network, samples, size of the picture.
NETS = {"resnet20": (ResNet20, load_resnet20, 50, 32), "tinyvgg": (TinyVgg, load_tiny_vgg, 100, 64), "resnet18": (ResNet18, spread, 16, 64)}


def place_of(name):
    """Where Captum cuts what a convolution gives: behind its normalisation."""
    if name.endswith("shortcut.0"):
        return name[:-1] + "1"
    head, _, last = name.rpartition(".")
    return f"{head}.bn{last[4:]}".lstrip(".") if last in ("conv1", "conv2") else name


def prepare():
    opened = {}
    for name, (kind, load, count, size) in NETS.items():
        net = kind()
        origin = load(net)
        net = net.eval()
        images, labels = pictures(count)
        images = F.interpolate(images, size=size) if size != 32 else images
        images = (images - MEAN) / STD if name != "tinyvgg" else images
        np.savez(os.path.join(FOLDER, f"{name}.npz"), x=images.numpy(), labels=labels.numpy().astype(np.int64))
        torch.onnx.export(net, (images[:2],), os.path.join(FOLDER, f"{name}.onnx"), input_names=["x"], output_names=["out"], dynamo=False,
                          dynamic_axes={"x": {0: "n"}, "out": {0: "n"}}, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
        recipe = {"task": "classification", "data": {"data": f"{name}.npz"}, "inputs": {"x": {"from": "data.x"}}, "labels": {"from": "data.labels"}}
        with open(os.path.join(FOLDER, f"{name}.particlize.json"), "w") as file:
            json.dump(recipe, file)
        opened[name] = {"net": net, "images": images, "labels": labels, "origin": origin, "size": size}
    return opened


def ablate(opened, layer, step):
    net, images, labels = opened["net"], opened["images"], opened["labels"]
    module = net.get_submodule(place_of(layer))
    shapes = []
    handle = module.register_forward_hook(lambda _, __, out: shapes.append(out.shape))
    with torch.inference_mode():
        net(images[:1])
    handle.remove()
    channels = list(range(0, shapes[0][1], step))
    # Channels that are not asked for are one more feature.
    ids = torch.full((shapes[0][1],), len(channels))
    ids[channels] = torch.arange(len(channels))
    mask = ids.view(1, -1, *[1] * (len(shapes[0]) - 2)).expand(1, *shapes[0][1:])
    ablation = LayerFeatureAblation(lambda x: F.cross_entropy(net(x), labels), module)
    start = time.perf_counter()
    with torch.inference_mode():
        attribution = ablation.attribute(images, layer_baselines=0, layer_mask=mask)
    elapsed = (time.perf_counter() - start) * 1000
    first = attribution[0].reshape(shapes[0][1], -1)[:, 0]
    runs = len(channels) + (1 if step > 1 else 0)
    return {"ms": elapsed / (runs + 1) * (shapes[0][1] + 1), "channels": channels, "changes": [-first[channel].item() for channel in channels]}


def main():
    opened = prepare()
    print(json.dumps({name: {"origin": one["origin"], "samples": len(one["images"]), "size": one["size"]} for name, one in opened.items()}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(ablate(opened[asked["net"]], asked["layer"], asked["step"])), flush=True)


if __name__ == "__main__":
    main()
