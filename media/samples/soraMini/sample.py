"""Makes a new clip for each label out of noise and prints its four frames.

    python3 sample.py            # labels 0 to 7, with the weights of model.pt
    python3 sample.py other.pt
"""

import sys

import torch

import soraMini_torch
from diffusion import LABELS, sample

INK = " .:*#"


def main() -> None:
    torch.set_num_threads(1)
    model = soraMini_torch.load(*sys.argv[1:2])
    for label, clip in zip(LABELS, sample(model, torch.arange(len(LABELS)))):
        print(label)
        for row in range(16):
            print("   ".join("".join(ink(value) for value in frame[row].tolist()) for frame in clip))
        print()


def ink(value: float) -> str:
    return INK[min(len(INK) - 1, int((value + 1) / 2 * len(INK)))]


if __name__ == "__main__":
    main()
