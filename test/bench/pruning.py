"""Torch-Pruning's side of pruning.bench.ts: python3 pruning.py FOLDER SAMPLES MODELS NETS SEEDS

Writes each trained network as ONNX with its samples and recipes into FOLDER, and beside it what Torch-Pruning makes of it:
by criterion, seed and target. SAMPLES is the folder media/samples/digits, MODELS one with ../shared/models's LeNet, ResNet-20,
MNIST and CIFAR-10. Prints a line of JSON for each file: {"net", "seed", "method", "target", "scope", "file"}.

As in its own examples, channels go step by step, and what the criterion is taken from is measured again before each step.
Both of its scopes are tried, the same share of every layer and all layers ranked together; the one with the smaller loss on
the samples to choose by is kept.
"""

import copy
import csv
import gzip
import json
import os
import sys
import warnings

import h5py
import numpy as np
import torch
import torch_pruning as tp
from torch import nn
from torch.nn import functional as F

warnings.filterwarnings("ignore")
FOLDER, SAMPLES, MODELS, NETS, SEEDS = sys.argv[1:4] + [sys.argv[4].split(","), int(sys.argv[5])]
TARGETS = [2, 3, 5]
CHOOSING = {"digits": 512, "lenet": 512, "resnet20": 128}
torch.set_num_threads(1)


class Digits(nn.Module):
    """media/samples/digits/digits_torch.py, which says where the flattening is."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.dense1, self.dense2 = nn.Linear(512, 64), nn.Linear(64, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
        return self.dense2(F.relu(self.dense1(x.flatten(1))))


class LeNet(nn.Module):
    """LeNet-5 as TensorSpace trained it: no activation behind its convolutions."""

    def __init__(self):
        super().__init__()
        self.conv_1, self.conv_2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.dense_1, self.dense_2, self.softmax = nn.Linear(256, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv_2(F.max_pool2d(self.conv_1(x), 2)), 2).flatten(1)
        return self.softmax(F.relu(self.dense_2(F.relu(self.dense_1(x)))))


class Block(nn.Module):
    """He et al., 2015. CIFAR's shortcut (every second pixel, zeros for new channels) is written as the 1x1 convolution that it is."""

    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.shortcut = None
        if stride > 1:
            self.shortcut = nn.Conv2d(i, o, 1, stride, bias=False)
            with torch.no_grad():
                self.shortcut.weight.zero_()
                self.shortcut.weight[(o - i) // 2:(o + i) // 2, :, 0, 0] = torch.eye(i)

    def forward(self, x):
        short = x if self.shortcut is None else self.shortcut(x)
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + short)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        widths = [16] * 4 + [32] * 3 + [64] * 3
        blocks = [Block(i, o, 2 if i != o else 1) for i, o in zip(widths, widths[1:])]
        self.layer1, self.layer2, self.layer3 = (nn.Sequential(*blocks[at:at + 3]) for at in (0, 3, 6))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(F.avg_pool2d(x, 8).flatten(1))


def digits(seed):
    net = Digits()
    net.load_state_dict(torch.load(os.path.join(SAMPLES, "model.pt"), weights_only=True))
    data = np.load(os.path.join(SAMPLES, "digits.npz"))
    x, y = data["images"].astype(np.float32)[:, None] / 16, data["labels"].astype(np.int64)
    train = np.random.default_rng(seed).permutation(1437)
    return net, x[train], y[train], x[1437:], y[1437:]


def idx(name, offset):
    with gzip.open(os.path.join(MODELS, "data", "mnist-t10k", name)) as file:
        return np.frombuffer(file.read(), np.uint8, offset=offset)


def lenet(seed):
    """Images that it was not trained on: the first 5 000 are trained and chosen by, the others judge."""
    net, state = LeNet(), {}
    with h5py.File(os.path.join(MODELS, "keras-h5", "tensorspace-mnist-tfkeras", "tf_keras_model.h5")) as file:
        for name in net._modules:
            group = file["model_weights"][name][name]
            kernel = torch.from_numpy(group["kernel:0"][()])
            if name == "dense_1":
                kernel = kernel.reshape(4, 4, 16, 120).permute(2, 0, 1, 3).reshape(256, 120)
            state[name + ".weight"] = (kernel.permute(3, 2, 0, 1) if kernel.dim() == 4 else kernel.T).contiguous()
            state[name + ".bias"] = torch.from_numpy(group["bias:0"][()])
    net.load_state_dict(state)
    x = idx("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28).astype(np.float32) / 255
    y = idx("t10k-labels-idx1-ubyte.gz", 8).astype(np.int64)
    train = np.random.default_rng(seed).permutation(5000)
    return net, x[train], y[train], x[5000:], y[5000:]


def resnet20(seed):
    """100 images of the test set are all there are: each seed draws 50 to choose by and to train on, 20 times each, mirrored and moved as usual."""
    net = ResNet20()
    file = os.path.join(MODELS, "pytorch", "resnet-cifar10", "resnet20-12fca82f.th")
    state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    net.load_state_dict({key.removeprefix("module."): value for key, value in state.items()}, strict=False)
    with open(os.path.join(MODELS, "data", "eran-cifar-mnist-100", "cifar10_test.csv")) as lines:
        rows = np.array([[int(cell) for cell in row if cell] for row in csv.reader(lines)])
    y = rows[:, 0].astype(np.int64)
    x = rows[:, 1:].reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2).astype(np.float32) / 255
    x = (x - np.float32([0.485, 0.456, 0.406])[:, None, None]) / np.float32([0.229, 0.224, 0.225])[:, None, None]
    random = np.random.default_rng(seed)
    order = random.permutation(100)
    train, test = order[:50], order[50:]
    pictures = []
    for turn in range(20):
        for row in train:
            down, right = random.integers(0, 9, 2) if turn else (4, 4)
            picture = np.pad(x[row], ((0, 0), (4, 4), (4, 4)))[:, down:down + 32, right:right + 32]
            pictures.append(picture[:, :, ::-1] if turn and random.random() < 0.5 else picture)
    return net, np.stack(pictures), np.tile(y[train], 20), x[test], y[test]


def gradients(net, importance, method, x, y):
    net.zero_grad()
    if method == "taylor":
        F.cross_entropy(net(x), y).backward()
    elif method == "hessian":
        importance.zero_grad()
        for loss in F.cross_entropy(net(x[:HESSIAN]), y[:HESSIAN], reduction="none"):
            net.zero_grad()
            loss.backward(retain_graph=True)
            importance.accumulate_grad(net)


# Each of its samples has a backward pass of its own, before every step.
HESSIAN = 32
STEPS = {"magnitude": 100, "fpgm": 100, "taylor": 40, "hessian": 20}
IMPORTANCE = {
    "magnitude": lambda: tp.importance.GroupMagnitudeImportance(p=2), "fpgm": tp.importance.FPGMImportance,
    "taylor": tp.importance.GroupTaylorImportance, "hessian": tp.importance.GroupHessianImportance,
}


def prune(original, method, everywhere, x, y):
    """The first network at or below each target on the way down."""
    net, example = copy.deepcopy(original).eval(), x[:1]
    macs, _ = tp.utils.count_ops_and_params(net, example)
    importance = IMPORTANCE[method]()
    last = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
    pruner = tp.pruner.BasePruner(net, example, importance=importance, global_pruning=everywhere, pruning_ratio=0.95,
                                  max_pruning_ratio=0.95, iterative_steps=STEPS[method], ignored_layers=[last])
    found, open_targets = {}, list(TARGETS)
    for _ in range(STEPS[method]):
        gradients(net, importance, method, x, y)
        pruner.step()
        now, _ = tp.utils.count_ops_and_params(net, example)
        while open_targets and now <= macs / open_targets[0]:
            with torch.no_grad():
                loss = F.cross_entropy(net(x), y).item()
            found[open_targets.pop(0)] = loss, copy.deepcopy(net)
        if not open_targets:
            break
    return found


def save(net, example, file):
    net.zero_grad()
    torch.onnx.export(net.eval(), (example,), os.path.join(FOLDER, file), input_names=["x"], output_names=["out"], dynamo=False,
                      dynamic_axes={"x": {0: "n"}, "out": {0: "n"}}, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)


def main():
    for name in NETS:
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            net, x, y, test_x, test_y = {"digits": digits, "lenet": lenet, "resnet20": resnet20}[name](seed)
            net.eval()
            example = torch.from_numpy(x[:2].copy())
            stem = f"{name}-{seed}"
            np.savez(os.path.join(FOLDER, stem + ".npz"), x=np.concatenate([x, test_x]), labels=np.concatenate([y, test_y]))
            splits = {"choose": [0, CHOOSING[name]], "train": [0, len(x)], "test": [len(x), len(x) + len(test_x)]}
            for part, span in splits.items():
                recipe = {"task": "classification", "data": {"data": stem + ".npz"}, "inputs": {"x": {"from": "data.x"}},
                          "labels": {"from": "data.labels"}, "split": {"test": span}}
                with open(os.path.join(FOLDER, f"{stem}-{part}.particlize.json"), "w") as file:
                    json.dump(recipe, file)
            save(net, example, stem + ".onnx")
            print(json.dumps({"net": name, "seed": seed, "method": "original", "target": 1, "scope": "", "file": stem + ".onnx"}), flush=True)
            choose = torch.from_numpy(x[:CHOOSING[name]].copy()), torch.from_numpy(y[:CHOOSING[name]].copy())
            for method in IMPORTANCE:
                scopes = {scope: prune(net, method, scope == "together", *choose) for scope in ("together", "each layer")}
                for target in TARGETS:
                    found = {scope: by[target] for scope, by in scopes.items() if target in by}
                    if not found:
                        continue
                    scope = min(found, key=lambda one: found[one][0])
                    file = f"{stem}-{method}-{target}.onnx"
                    save(found[scope][1], example, file)
                    print(json.dumps({"net": name, "seed": seed, "method": method, "target": target, "scope": scope, "file": file}), flush=True)


if __name__ == "__main__":
    main()
