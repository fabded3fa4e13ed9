"""Writes charRnn.ipynb, outputs included."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "common"))
from notebookFile import write_notebook

INTRODUCTION = """\
# A unit that counts

Two recurrent networks predict the next character of a text whose letters depend on how many brackets are open. Somewhere in
them that number must be held. Where?
"""

LOAD = """\
import sys

import numpy as np
import torch

import charGru_torch
import charLstm_torch
from text import TEST, load_depths, load_windows

sys.path.append("../common")
from particleCharts import chart, heatmap

torch.set_num_threads(1)
windows, following = (torch.from_numpy(array[TEST]) for array in load_windows())  # [180, 32] each
depth = load_depths()[TEST]
text = open("nested.txt").read()[600 * 32 :]
print(text[: 3 * 32])
states = {}
for kind, definition in (("lstm", charLstm_torch), ("gru", charGru_torch)):
    model = definition.load()
    with torch.no_grad():
        accuracy = (model(windows).argmax(-1) == following).double().mean().item()
        states[kind] = model.get_submodule(kind)(model.embedding(windows))[0].numpy()  # [180, 32 steps, 12 units]
    print(f"{kind}: {accuracy:.4f} of the next characters are right")
"""

DEPTH_TEXT = """\
## Each unit against the number of open brackets

The correlation of a unit's state with the depth, over all characters of the test lines. Far from 0 on either side is a
unit that counts.
"""

DEPTH = """\
correlations = [
    [np.corrcoef(states[kind][:, :, unit].ravel(), depth.ravel())[0, 1] for unit in range(12)] for kind in ("lstm", "gru")
]
column = {"name": "depth", "title": "Correlation with the depth", "unit": "", "scale": "diverging"}
heatmap("Correlation with the number of open brackets", [("lstm", "unit"), ("gru", "unit")], column, correlations)
for kind, row in zip(("lstm", "gru"), correlations):
    best = int(np.abs(row).argmax())
    print(f"{kind}: unit {best} counts, correlation {row[best]:+.3f}")
"""

LINE_TEXT = """\
## Along one line
"""

LINE = """\
best = int(np.abs(correlations[1]).argmax())
line = states["gru"][0, :, best]
print(text[:31])
print("".join(str(value) for value in depth[0][:31]))
chart(
    f"Unit {best} of the GRU along a line",
    {
        "data": {"values": [
            {"place": place, "character": text[place].replace("\\n", "end"), "state": round(float(line[place]), 4), "depth": int(depth[0, place])}
            for place in range(32)
        ]},
        "width": 640,
        "layer": [
            {"mark": {"type": "line", "point": True}, "encoding": {"y": {"field": "state", "type": "quantitative"}}},
            {"mark": {"type": "text", "dy": -10}, "encoding": {
                "y": {"field": "state", "type": "quantitative"}, "text": {"field": "character"}}},
        ],
        "encoding": {"x": {"field": "place", "type": "quantitative", "title": "place in the line"}},
    },
)
for open_brackets in range(6):
    values = states["gru"][:, :, best][depth == open_brackets]
    print(f"depth {open_brackets}: state {values.mean():+.2f}, plus or minus {values.std():.2f}")
"""


def main() -> None:
    write_notebook(HERE / "charRnn.ipynb", [
        ("introduction", "markdown", INTRODUCTION),
        ("load", "code", LOAD),
        ("depth-text", "markdown", DEPTH_TEXT),
        ("depth", "code", DEPTH),
        ("line-text", "markdown", LINE_TEXT),
        ("line", "code", LINE),
    ])


if __name__ == "__main__":
    main()
