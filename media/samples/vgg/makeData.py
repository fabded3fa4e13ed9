"""Writes vgg.npz: the handwritten digits of ../digits, each pixel enlarged to 4 by 4.

32 by 32 is what a VGG network's five poolings bring down to a single place. Rows are those of digits.npz:
0 to 1436 for training, 1437 to 1796 for testing.
"""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def main() -> None:
    digits = np.load(HERE.parent / "digits" / "digits.npz")
    images = digits["images"].repeat(4, axis=1).repeat(4, axis=2)  # [1797, 32, 32], ink from 0 to 16
    np.savez_compressed(HERE / "vgg.npz", images=images, labels=digits["labels"])
    print(f"vgg.npz: {images.shape}, {(HERE / 'vgg.npz').stat().st_size} bytes")


if __name__ == "__main__":
    main()
