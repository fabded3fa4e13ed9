"""Writes sigmoids.csv: ten features and a target made of three sigmoids of the first two features.

The other eight features have no influence, and three sigmoids suffice: a network of four is given one too many.
Rows 0 to 499 are for training, 500 to 599 for testing.
"""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SEED = 3
ROWS = 600


def main() -> None:
    random = np.random.default_rng(SEED)
    x = random.random((ROWS, 10)).round(3)
    y = target(x) + random.normal(0, 0.01, ROWS)
    header = ",".join([*(f"x{feature + 1}" for feature in range(10)), "y"])
    np.savetxt(HERE / "sigmoids.csv", np.column_stack([x, y]), fmt="%.3f", delimiter=",", header=header, comments="")
    print(f"sigmoids.csv: {ROWS} rows, target from {y.min():.2f} to {y.max():.2f}")


def target(x):
    """Up where x1 passes 0.3, down where it passes 0.75, somewhat more for large x2. x: [rows, 10] -> [rows]."""
    up = sigmoid(14 * (x[:, 0] - 0.3))
    down = sigmoid(14 * (x[:, 0] - 0.75))
    more = sigmoid(6 * (x[:, 1] - 0.5))
    return sigmoid(-2.5 + 5 * up - 4 * down + 1.5 * more)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


if __name__ == "__main__":
    main()
