"""Writes clips.npz: short clips of a handwritten 0 or 1 that drifts across a field whose edges are joined.

Eight frames of 16 by 16, one pixel a frame in one of four directions, from anywhere: what leaves on one side comes back on
the other, so that no single frame tells the direction. Rows 0 to 599 are for training, 600 to 799 for testing; a digit's
image is in one of the two only.
"""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SEED = 11
TRAIN, TEST = 600, 200
FRAMES, SIZE = 8, 16
DIGITS = (0, 1)
STEPS = {"right": (0, 1), "down": (1, 0), "left": (0, -1), "up": (-1, 0)}  # rows, columns a frame


def main() -> None:
    random = np.random.default_rng(SEED)
    digits = np.load(HERE.parent / "digits" / "digits.npz")
    images = {digit: digits["images"][digits["labels"] == digit] for digit in DIGITS}
    parts = []
    for count, pick in ((TRAIN, lambda shapes: shapes[:-40]), (TEST, lambda shapes: shapes[-40:])):
        labels = random.permutation(np.arange(count) % (len(DIGITS) * len(STEPS)))
        parts.append((np.stack([clip(random, pick(images[DIGITS[label // 4]]), label % 4) for label in labels]), labels))
    clips = np.concatenate([clips for clips, _ in parts])  # [800, 8, 16, 16], ink from 0 to 16
    labels = np.concatenate([labels for _, labels in parts]).astype(np.uint8)  # 0 right, 0 down, ..., 1 up
    np.savez_compressed(HERE / "clips.npz", clips=clips, labels=labels)
    print(f"clips.npz: {clips.shape}, {np.bincount(labels).tolist()} a class, {(HERE / 'clips.npz').stat().st_size} bytes")


def clip(random: np.random.Generator, shapes: np.ndarray, direction: int) -> np.ndarray:
    field = np.zeros((SIZE, SIZE), np.uint8)
    field[:8, :8] = shapes[random.integers(len(shapes))]
    start = random.integers(SIZE, size=2)
    step = np.array(list(STEPS.values())[direction])
    return np.stack([np.roll(field, tuple(start + step * frame), (0, 1)) for frame in range(FRAMES)])


if __name__ == "__main__":
    main()
