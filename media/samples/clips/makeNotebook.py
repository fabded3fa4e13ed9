"""Writes clips.ipynb, outputs included."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "common"))
from notebookFile import write_notebook

INTRODUCTION = """\
# Kernels that see, units that remember

A small convolutional network looks at each frame of a clip; an LSTM goes from frame to frame; what it holds at the end decides.
"""

LOAD = """\
import sys

import numpy as np
import torch

import clips_torch

sys.path.append("../common")
from particleCharts import chart, heatmap, kernels

torch.set_num_threads(1)
model = clips_torch.load()
data = np.load("clips.npz")
clips = torch.from_numpy(data["clips"][600:] / np.float32(16))  # [200, 8, 16, 16], the test clips
labels = data["labels"][600:]
classes = ["0 right", "0 down", "0 left", "0 up", "1 right", "1 down", "1 left", "1 up"]
with torch.no_grad():
    found = model(clips).argmax(1).numpy()
print(f"right for {(found == labels).sum()} of {len(labels)} clips")
for row in range(0, 16, 2):
    print("  ".join("".join(" .:*#"[int(ink * 4)] for ink in frame[row].tolist()) for frame in clips[0, ::2]))
print("every second frame of a clip,", classes[labels[0]])
"""

KERNELS = """\
kernels("conv1 kernels", "conv1", model.conv1.weight.detach().numpy())
"""

UNITS_TEXT = """\
## Which units know the direction, which the digit?

For each unit: how much of the spread of its state after the last frame is explained by the direction, and how much by the digit.
"""

UNITS = """\
def states_of(clips):
    with torch.no_grad():
        frames = clips.reshape(-1, 1, 16, 16)
        x = model.pool(torch.relu(model.conv1(frames)))
        x = model.pool(torch.relu(model.conv2(x)))
        states, _ = model.lstm(torch.flatten(x, 1).reshape(-1, 8, 192))
    return states.numpy()  # [clips, 8 frames, 32 units]


def explained(values, groups):
    means = np.stack([values[groups == group].mean(0) for group in np.unique(groups)])
    return means.var(0) / values.var(0)


last = states_of(clips)[:, -1]
direction, digit = explained(last, labels % 4), explained(last, labels // 4)
for title, values in (("direction", direction), ("digit", digit)):
    column = {"name": title, "title": f"Explained by the {title}", "unit": ""}
    heatmap(f"Explained by the {title}", [("lstm", "unit")], column, [values])
best = int(direction.argmax())
print(f"unit {best} knows the direction best ({direction[best]:.2f}), unit {digit.argmax()} the digit ({digit.max():.2f})")
"""

TIME_TEXT = """\
## From frame to frame

The state of that unit along a clip, as the mean for each direction. After the first frame it cannot know.
"""

TIME = """\
along = states_of(clips)[:, :, best]
directions = ["right", "down", "left", "up"]
chart(
    f"State of unit {best} along a clip",
    {
        "data": {"values": [
            {"frame": frame + 1, "state": round(float(along[labels % 4 == number, frame].mean()), 4), "direction": name}
            for number, name in enumerate(directions) for frame in range(8)
        ]},
        "mark": {"type": "line", "point": True, "tooltip": True},
        "width": 400,
        "encoding": {
            "x": {"field": "frame", "type": "ordinal"},
            "y": {"field": "state", "type": "quantitative"},
            "color": {"field": "direction", "type": "nominal", "sort": None},
        },
    },
)
for number, name in enumerate(directions):
    print(f"{name:>5}: " + " ".join(f"{value:+.2f}" for value in along[labels % 4 == number].mean(0)))
"""


def main() -> None:
    write_notebook(HERE / "clips.ipynb", [
        ("introduction", "markdown", INTRODUCTION),
        ("load", "code", LOAD),
        ("kernels", "code", KERNELS),
        ("units-text", "markdown", UNITS_TEXT),
        ("units", "code", UNITS),
        ("time-text", "markdown", TIME_TEXT),
        ("time", "code", TIME),
    ])


if __name__ == "__main__":
    main()
