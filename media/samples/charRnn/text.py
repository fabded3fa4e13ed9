"""The text in windows, as the recipe cuts it."""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
WINDOW = 32
TRAIN, TEST = slice(0, 600), slice(600, 780)


def load_windows() -> tuple[np.ndarray, np.ndarray]:
    """Character numbers [799, 32] and those one place later; a window is a line."""
    text = (HERE / "nested.txt").read_text()
    number = {character: index for index, character in enumerate(json.loads((HERE / "vocabulary.json").read_text()))}
    numbers = np.array([number[character] for character in text])
    windows = (len(numbers) - 1) // WINDOW
    return numbers[: windows * WINDOW].reshape(-1, WINDOW), numbers[1 : windows * WINDOW + 1].reshape(-1, WINDOW)


def load_depths() -> np.ndarray:
    """Open brackets behind each character of each window [799, 32]: the truth that is planted in the text."""
    from makeData import depths

    found = depths((HERE / "nested.txt").read_text())
    return found[: len(found) // WINDOW * WINDOW].reshape(-1, WINDOW)[:-1]


def counting(states: np.ndarray, depth: np.ndarray) -> tuple[int, float]:
    """The unit whose state goes best with the depth, and the correlation. states: [windows, steps, units]."""
    units = states.reshape(-1, states.shape[-1])
    correlations = [float(np.corrcoef(units[:, unit], depth.ravel())[0, 1]) for unit in range(units.shape[1])]
    best = int(np.argmax(np.abs(correlations)))
    return best, correlations[best]
