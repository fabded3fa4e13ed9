"""Writes vgg.ipynb, outputs included."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "common"))
from notebookFile import write_notebook

INTRODUCTION = """\
# The particles of a VGG network

Eight convolutions in five groups, each group ending in a pooling that halves the picture, then three dense layers. Every
kernel and every neuron is a particle; this notebook looks at all of them at once.
"""

LOAD = """\
import sys

import numpy as np
import torch

import vgg_torch

sys.path.append("../common")
from particleCharts import heatmap, kernels, scatter

torch.set_num_threads(1)
model = vgg_torch.load()
data = np.load("vgg.npz")
images = torch.from_numpy(data["images"][1437:, None] / np.float32(16))  # the 360 test images
labels = torch.from_numpy(data["labels"][1437:].astype(np.int64))
modules = {name: module for name, module in model.named_children() if hasattr(module, "weight")}
layers = [(name, "kernel" if name.startswith("conv") else "neuron") for name in modules]
with torch.no_grad():
    accuracy = (model(images).argmax(1) == labels).double().mean().item()
print(f"{sum(len(module.weight) for module in modules.values())} particles in {len(layers)} layers; accuracy {accuracy:.4f}")
"""

NORMS = """\
norms = [module.weight.detach().flatten(1).norm(dim=1).tolist() for module in modules.values()]
heatmap("L2 norm of every particle", layers, {"name": "l2", "title": "L2 norm", "unit": ""}, norms)
kernels("conv1 kernels", "conv1", modules["conv1"].weight.detach().numpy())
"""

LOSS_TEXT = """\
## What is lost without it?

Each particle in turn is switched off (its output set to zero) and the network run again on all test images. That takes one run a
particle here; Particlize computes the same exactly, but runs only what comes behind the particle.
"""

LOSS = """\
from torch.nn import functional as F


@torch.no_grad()
def loss():
    return F.cross_entropy(model(images).double(), labels).item()


def without(particle):
    def cut(module, given, output):
        output = output.clone()
        output[:, particle] = 0
        return output

    return cut


whole = loss()
changes = []
for name, module in modules.items():
    changes.append([])
    for particle in range(len(module.weight)):
        handle = module.register_forward_hook(without(particle))
        changes[-1].append(loss() - whole)
        handle.remove()
column = {"name": "ablationLossChange", "title": "Loss change without it", "unit": "nats", "scale": "diverging"}
heatmap("Change of the loss without each particle", layers, column, changes)
for (name, _), row in zip(layers, changes):
    idle = sum(abs(change) < 1e-6 for change in row)
    print(f"{name}: {idle} of {len(row)} do nothing, the most important one is worth {max(row):.3f}")
"""

SCATTER_TEXT = """\
## Is a large particle an important one?

If it were, norms would do for pruning. See for yourself:
"""

SCATTER = """\
scatter(
    "Norm against importance", layers,
    {"column": {"name": "l2", "title": "L2 norm", "unit": ""}, "values": norms},
    {"column": column, "values": changes},
)
ranks = [np.argsort(np.argsort([value for row in rows for value in row])) for rows in (norms, changes)]
print(f"rank correlation over all particles: {np.corrcoef(*ranks)[0, 1]:.2f}")
"""


def main() -> None:
    write_notebook(HERE / "vgg.ipynb", [
        ("introduction", "markdown", INTRODUCTION),
        ("load", "code", LOAD),
        ("norms", "code", NORMS),
        ("loss-text", "markdown", LOSS_TEXT),
        ("loss", "code", LOSS),
        ("scatter-text", "markdown", SCATTER_TEXT),
        ("scatter", "code", SCATTER),
    ])


if __name__ == "__main__":
    main()
