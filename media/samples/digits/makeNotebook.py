"""Writes digits.ipynb, outputs included: runs the cells below and stores what they display."""

import contextlib
import io
import json
import os
from pathlib import Path

HERE = Path(__file__).parent

INTRODUCTION = """\
# The particles of a digit recogniser

A layer of a network sees its input only through the units of the layer before it. What unit $i$ computes
before its activation is a plain sum:

$$f_i(x) = b_i + \\sum_j w_{ij} \\, g_j(x)$$

Each $g_j$ is the output of one small thing: a kernel of a convolution, a neuron of a dense layer. These are
the **particles** of the network. A particle reaches the output only through its terms $w_{ij} \\, g_j(x)$,
so those terms say what it is worth. If they are always near zero, the particle can go, and the layer gets narrower.

The network here reads 8×8 images of handwritten digits. It has two convolutions (16 and 32 kernels) and two
dense layers (64 and 10 neurons): more than the task needs.
"""

LOAD = """\
import numpy as np
import torch

import digits_torch

model = digits_torch.load()
weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
layers = [("conv1", "kernel"), ("conv2", "kernel"), ("dense1", "neuron"), ("dense2", "neuron")]
data = np.load("digits.npz")
images = torch.from_numpy(data["images"][1437:, None] / np.float32(16))  # the 360 test images
labels = data["labels"][1437:]


def show(particlize, marks):
    \"\"\"Display for Particlize's notebook renderer, with a Vega-Lite chart where it is not installed.\"\"\"
    chart = {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "title": particlize["title"], **marks}
    display(
        {
            "application/vnd.particlize.v1+json": {"version": 1, **particlize},
            "application/vnd.vegalite.v5+json": chart,
            "text/plain": f"{particlize['title']}: {len(particlize['values'])} numbers",
        },
        raw=True,
    )


def heatmap(title, kinds, column, values):
    \"\"\"One cell a particle, a row of cells for each layer; values: an array for each layer.\"\"\"
    shown = [{"name": name, "kind": kind, "count": len(row)} for (name, kind), row in zip(kinds, values)]
    numbers = [float(f"{value:.5g}") for row in values for value in row]
    places = [(layer["name"], index) for layer in shown for index in range(layer["count"])]
    cells = [
        {"layer": layer, "particle": index, "value": value} for (layer, index), value in zip(places, numbers)
    ]
    show(
        {"kind": "heatmap", "title": title, "layers": shown, "column": column, "values": numbers},
        {
            "data": {"values": cells},
            "width": 640,
            "mark": {"type": "rect", "tooltip": True},
            "encoding": {
                "x": {"field": "particle", "type": "ordinal", "axis": {"labelOverlap": True, "labelAngle": 0}},
                "y": {"field": "layer", "type": "nominal", "sort": None, "title": None},
                "color": {"field": "value", "type": "quantitative", "title": column["title"]},
            },
        },
    )
"""

NORMS_TEXT = """\
## How strong is each particle?

One cell a particle, coloured by the L2 norm of its weights. Training has left some of them with next to nothing.
"""

NORMS = """\
norms = [model.get_submodule(name).weight.detach().flatten(1).norm(dim=1).tolist() for name, _ in layers]
heatmap("L2 norm of every particle", layers, {"name": "l2", "title": "L2 norm", "unit": ""}, norms)
"""

KERNELS_TEXT = """\
## What do the kernels of the first layer look for?

Each is 3×3 and slides over the image. Some are edges in one direction or another; a few are blank.
"""

KERNELS = """\
kernels = weights["conv1.weight"]  # [16, 1, 3, 3]
pixels = [
    {"kernel": index, "row": row, "column": column, "weight": round(float(kernels[index, 0, row, column]), 4)}
    for index in range(16) for row in range(3) for column in range(3)
]
show(
    {
        "kind": "kernels",
        "title": "conv1 kernels",
        "layer": "conv1",
        "shape": list(kernels.shape),
        "values": [float(f"{value:.5g}") for value in kernels.ravel()],
    },
    {
        "data": {"values": pixels},
        "facet": {"field": "kernel", "type": "ordinal"},
        "columns": 8,
        "spec": {
            "width": 60,
            "height": 60,
            "mark": {"type": "rect", "tooltip": True},
            "encoding": {
                "x": {"field": "column", "type": "ordinal", "axis": None},
                "y": {"field": "row", "type": "ordinal", "axis": None},
                "color": {
                    "field": "weight", "type": "quantitative", "scale": {"scheme": "redblue", "domainMid": 0}
                },
            },
        },
    },
)
"""

TERMS_TEXT = """\
## The sum, term by term

The neurons of `dense1` are the particles that `dense2` adds up. For each of them: how far it moves a digit's score
on the test images, as the mean of $|w_{ij} \\, g_j(x)|$ over images and digits. Below, the sum of the terms is
compared with what the network itself computes.
"""

TERMS = """\
with torch.no_grad():
    dense1 = []
    handle = model.dense1.register_forward_hook(lambda module, given, out: dense1.append(torch.relu(out)))
    logits = model(images).numpy()
    handle.remove()
outputs = dense1[0].numpy()  # g_j(x): [360, 64]
terms = weights["dense2.weight"][None] * outputs[:, None, :]  # [360, 10, 64]
difference = np.abs(terms.sum(2) + weights["dense2.bias"] - logits).max() / np.abs(logits).max()
assert difference < 1e-5
print(f"largest difference between the sum of the terms and the network, relative: {difference:.0e}")
column = {"name": "contribution", "title": "Contribution", "unit": "logit"}
heatmap("What each neuron of dense1 adds to the scores", layers[2:3], column, [np.abs(terms).mean((0, 1))])
"""

REMOVE_TEXT = """\
## Which can go?

Neurons whose contribution is below a thousandth of the largest, set to zero all at once:
"""

REMOVE = """\
size = np.abs(terms).mean((0, 1))
idle = size < size.max() / 1000
kept = (terms * ~idle).sum(2) + weights["dense2.bias"]
print(f"{idle.sum()} of {len(idle)} neurons are idle")
print(f"accuracy with all of them: {(logits.argmax(1) == labels).mean():.4f}")
print(f"accuracy without the idle: {(kept.argmax(1) == labels).mean():.4f}")
"""

CLOSING = """\
To do this for every layer, and to get the smaller network as a file together with its edited definition,
right-click `model.onnx` in the explorer and choose **Particlize**.
"""


def main() -> None:
    os.chdir(HERE)
    scope: dict = {}
    cells = [
        markdown("introduction", INTRODUCTION),
        code("load", LOAD, scope, 1),
        markdown("norms-text", NORMS_TEXT),
        code("norms", NORMS, scope, 2),
        markdown("kernels-text", KERNELS_TEXT),
        code("kernels", KERNELS, scope, 3),
        markdown("terms-text", TERMS_TEXT),
        code("terms", TERMS, scope, 4),
        markdown("remove-text", REMOVE_TEXT),
        code("remove", REMOVE, scope, 5),
        markdown("closing", CLOSING),
    ]
    notebook = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    text = json.dumps(notebook, indent=1, ensure_ascii=False)
    (HERE / "digits.ipynb").write_text(text + "\n")
    print(f"digits.ipynb: {len(cells)} cells, {len(text) // 1024} KiB")


def markdown(name: str, text: str) -> dict:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": lines(text)}


def code(name: str, text: str, scope: dict, count: int) -> dict:
    """Runs the cell in `scope`, where earlier cells ran, with a `display` that records."""
    shown: list[dict] = []
    scope["display"] = lambda data, raw: shown.append(data)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(text, name, "exec"), scope)
    outputs = [{"output_type": "display_data", "data": data, "metadata": {}} for data in shown]
    if printed.getvalue():
        outputs.insert(0, {"output_type": "stream", "name": "stdout", "text": lines(printed.getvalue())})
    return {
        "cell_type": "code",
        "id": name,
        "metadata": {},
        "execution_count": count,
        "source": lines(text),
        "outputs": outputs,
    }


def lines(text: str) -> list[str]:
    return text.rstrip("\n").splitlines(keepends=True)


if __name__ == "__main__":
    main()
