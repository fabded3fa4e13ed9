"""Writes recommender.ipynb, outputs included."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "common"))
from notebookFile import write_notebook

INTRODUCTION = """\
# Found factors against planted ones

The ratings were made from three factors that we know (`truth.json`). The model has room for six, and was told nothing but the
ratings. Does it find the three?
"""

LOAD = """\
import json
import sys

import numpy as np
import torch

import recommender_torch
from ratings import TEST, load_ratings

sys.path.append("../common")
from particleCharts import heatmap, scatter

torch.set_num_threads(1)
model = recommender_torch.load()
truth = json.load(open("truth.json"))
user, item, rating = (torch.from_numpy(column[TEST]) for column in load_ratings())
users, items = model.user_factors.weight.detach().numpy(), model.item_factors.weight.detach().numpy()  # [160, 6], [200, 6]
with torch.no_grad():
    whole = torch.mean((model(user, item) - rating) ** 2).sqrt().item()
print(f"{len(rating)} test ratings, off by {whole:.3f} stars (root mean square); always the mean: {rating.std():.3f}")
"""

FOUND = """\
layers = [("user_factors", "factor"), ("item_factors", "factor")]
for planted in range(3):
    rows = [
        [np.corrcoef(table[:, factor], truth[name][planted])[0, 1] for factor in range(6)]
        for table, name in ((users, "userFactors"), (items, "itemFactors"))
    ]
    column = {"name": "planted", "title": "Correlation", "unit": "", "scale": "diverging"}
    heatmap(f"Found factors against planted factor {planted}", layers, column, rows)
    best = int(np.abs(rows[1]).argmax())
    print(f"planted factor {planted} is factor {best}: users {rows[0][best]:+.3f}, items {rows[1][best]:+.3f}")
"""

WITHOUT_TEXT = """\
## What is each factor worth?

Strength of a factor against how much worse the ratings are without it.
"""

WITHOUT = """\
changes = []
for factor in range(6):
    with torch.no_grad():
        kept = torch.ones(6)
        kept[factor] = 0
        terms = model.user_factors(user) * model.item_factors(item) * kept
        answer = terms.sum(1) + model.user_bias(user)[:, 0] + model.item_bias(item)[:, 0] + model.mean
        changes.append(torch.mean((answer - rating) ** 2).sqrt().item() - whole)
norms = np.linalg.norm(items, axis=0)
scatter(
    "Strength and worth of the item factors", layers[1:],
    {"column": {"name": "l2", "title": "L2 norm", "unit": ""}, "values": [norms]},
    {"column": {"name": "rmseChange", "title": "Error added without it", "unit": "stars"}, "values": [changes]},
)
for factor in range(6):
    print(f"factor {factor}: norm {norms[factor]:.2f}, error without it {changes[factor]:+.3f} stars")
"""


def main() -> None:
    write_notebook(HERE / "recommender.ipynb", [
        ("introduction", "markdown", INTRODUCTION),
        ("load", "code", LOAD),
        ("found", "code", FOUND),
        ("without-text", "markdown", WITHOUT_TEXT),
        ("without", "code", WITHOUT),
    ])


if __name__ == "__main__":
    main()
