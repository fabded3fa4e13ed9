"""Trains the digits network once, in PyTorch, and writes model.pt.

Every other saved model of this folder holds these weights (exportModels.py). A mild L1 penalty
pulls weights that the task does not need towards zero, as is common when a network is meant to be
pruned afterwards; which kernels end up weak is left to the training.
"""

import math
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from digits_torch import DigitsNet

HERE = Path(__file__).parent
TRAIN = slice(0, 1437)
TEST = slice(1437, 1797)
SEED = 7
EPOCHS = 60
BATCH = 64
LEARNING_RATE = 2e-3
L1 = 4e-4
REQUIRED_ACCURACY = 0.97


def main() -> None:
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    images, labels = load_data()
    model = DigitsNet()
    train(model, images[TRAIN], labels[TRAIN])
    for name, rows in (("train", TRAIN), ("test", TEST)):
        loss, accuracy = evaluate(model, images[rows], labels[rows])
        print(f"{name}: loss {loss:.4f}, accuracy {accuracy:.4f}")
    assert accuracy >= REQUIRED_ACCURACY, f"test accuracy {accuracy:.4f} is below {REQUIRED_ACCURACY}"
    torch.save(model.state_dict(), HERE / "model.pt")


def load_data() -> tuple[torch.Tensor, torch.Tensor]:
    """Images [1797, 1, 8, 8] from 0 to 1, labels [1797]."""
    data = np.load(HERE / "digits.npz")
    images = data["images"].astype(np.float32)[:, None] / 16
    return torch.from_numpy(images), torch.from_numpy(data["labels"].astype(np.int64))


def train(model: DigitsNet, images: torch.Tensor, labels: torch.Tensor) -> None:
    steps = EPOCHS * math.ceil(len(images) / BATCH)
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images)).split(BATCH):
            size = sum(parameter.abs().sum() for parameter in model.parameters())
            loss = F.cross_entropy(model(images[rows]), labels[rows]) + L1 * size
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


@torch.no_grad()
def evaluate(model: DigitsNet, images: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    logits = model.eval()(images)
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    return F.cross_entropy(logits.double(), labels).item(), accuracy


if __name__ == "__main__":
    main()
