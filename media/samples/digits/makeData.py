"""Writes digits.npz: the UCI handwritten digits as scikit-learn ships them, shuffled once.

The images are stored already shuffled, so that a split is a pair of row numbers:
rows 0 to 1436 train, rows 1437 to 1796 test.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

SEED = 20
HERE = Path(__file__).parent


def main() -> None:
    digits = load_digits()
    order = np.random.RandomState(SEED).permutation(len(digits.target))
    images = digits.images[order].astype(np.uint8)  # [1797, 8, 8], ink from 0 to 16
    labels = digits.target[order].astype(np.uint8)  # [1797]
    assert images.shape == (1797, 8, 8) and images.max() == 16
    assert np.array_equal(images, digits.images[order]), "a pixel is not a whole number"
    np.savez_compressed(HERE / "digits.npz", images=images, labels=labels)
    print(f"digits.npz: {len(labels)} images, {np.bincount(labels).tolist()} of each digit")


if __name__ == "__main__":
    main()
