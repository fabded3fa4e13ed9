"""Writes soraMini.ipynb, outputs included."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "common"))
from notebookFile import write_notebook

INTRODUCTION = """\
# A diffusion transformer, taken apart

The model is shown a clip with noise in it, how much noise that is and what the clip shows, and says which part is noise. Taking
away a little of it at a time turns pure noise into a clip.
"""

LOAD = """\
import sys

import numpy as np
import torch

import soraMini_torch
from diffusion import LABELS, sample

sys.path.append("../common")
from particleCharts import chart, heatmap, kernels

torch.set_num_threads(1)
model = soraMini_torch.load()
data = np.load("noisy.npz")
noisy, noise = (torch.from_numpy(data[name].astype(np.float32) / 32) for name in ("noisy", "noise"))  # [128, 4, 16, 16]
level, label = torch.from_numpy(data["level"]), torch.from_numpy(data["label"].astype(np.int64))
print(f"{sum(parameter.numel() for parameter in model.parameters())} parameters, {len(model.blocks)} blocks, 4 heads each")
"""

SAMPLE_TEXT = """\
## A clip out of noise

Forty steps, for the label "0 right". The four frames side by side:
"""

SAMPLE = """\
clip = sample(model, torch.tensor([0]), seed=2)[0]
for row in range(16):
    print("   ".join("".join(" .:*#"[min(4, int((value + 1) * 2.5))] for value in frame[row].tolist()) for frame in clip))
"""

PATCHES_TEXT = """\
## What reads the clip

A kernel of `patches` covers two frames; shown is what it looks for in the first of them.
"""

PATCHES = """\
kernels("patches, first of two frames", "patches", model.patches.weight.detach().numpy()[:, 0, :1])
"""

HEADS_TEXT = """\
## What each head is worth, by noise level

Each head is switched off in turn. What that adds to the loss depends on how much noise there is.
"""

HEADS = """\
@torch.no_grad()
def losses():
    return ((model(noisy, level, label) - noise) ** 2).flatten(1).mean(1).numpy()


def without(head):
    def cut(module, given):
        kept = given[0].clone()
        kept[..., head * 8 : head * 8 + 8] = 0
        return (kept,)

    return cut


whole = losses()
added = np.zeros((3, 4, 8))  # block, head, noise level
for block in range(3):
    for head in range(4):
        handle = model.blocks[block].attn.proj.register_forward_pre_hook(without(head))
        change = losses() - whole
        handle.remove()
        added[block, head] = [change[data["group"] == group].mean() for group in range(8)]
layers = [(f"blocks.{block}.attn.qkv", "head") for block in range(3)]
column = {"name": "ablationLossChange", "title": "Loss change without it", "unit": "", "scale": "diverging"}
heatmap("Loss added without each head", layers, column, added.mean(2))
chart(
    "Loss added without each head, by noise level",
    {
        "data": {"values": [
            {"head": f"block {block}, head {head}", "level": (group + 0.5) / 8, "added": round(float(added[block, head, group]), 5)}
            for block in range(3) for head in range(4) for group in range(8)
        ]},
        "mark": {"type": "line", "point": True, "tooltip": True},
        "width": 400,
        "encoding": {
            "x": {"field": "level", "type": "quantitative", "title": "noise level"},
            "y": {"field": "added", "type": "quantitative", "title": "loss added"},
            "color": {"field": "head", "type": "nominal", "sort": None},
        },
    },
)
print("loss by noise level:        " + " ".join(f"{whole[data['group'] == group].mean():.3f}" for group in range(8)))
block, head = np.unravel_index(added.mean(2).argmax(), (3, 4))
print(f"without block {block}, head {head}: " + " ".join(f"{value:+.3f}" for value in added[block, head]))
"""


def main() -> None:
    write_notebook(HERE / "soraMini.ipynb", [
        ("introduction", "markdown", INTRODUCTION),
        ("load", "code", LOAD),
        ("sample-text", "markdown", SAMPLE_TEXT),
        ("sample", "code", SAMPLE),
        ("patches-text", "markdown", PATCHES_TEXT),
        ("patches", "code", PATCHES),
        ("heads-text", "markdown", HEADS_TEXT),
        ("heads", "code", HEADS),
    ])


if __name__ == "__main__":
    main()
