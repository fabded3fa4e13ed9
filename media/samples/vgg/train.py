"""Trains the narrow VGG-11 in PyTorch; writes model.pt, model.onnx and expected.json."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from vgg_torch import Vgg11

sys.path.append(str(Path(__file__).parents[1] / "common"))
from jsonFile import update_json
from onnxFile import export_onnx

HERE = Path(__file__).parent
TRAIN, TEST = slice(0, 1437), slice(1437, 1797)
SEED = 5
EPOCHS = 25
BATCH = 32
LEARNING_RATE = 3e-3
REQUIRED_ACCURACY = 0.96


def main() -> None:
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    images, labels = load_data()
    model = Vgg11()
    start(model)
    train(model, images[TRAIN], labels[TRAIN])
    expected = {"about": "Computed by train.py with PyTorch; rows are those of the recipe's split."}
    for name, rows in (("train", TRAIN), ("test", TEST)):
        loss, accuracy = evaluate(model, images[rows], labels[rows])
        print(f"{name}: loss {loss:.4f}, accuracy {accuracy:.4f}")
        expected[name] = {"loss": loss, "accuracy": accuracy}
    assert accuracy >= REQUIRED_ACCURACY, f"test accuracy {accuracy:.4f} is below {REQUIRED_ACCURACY}"
    torch.save(model.state_dict(), HERE / "model.pt")
    export_onnx(model, HERE / "model.onnx", {"image": images[TEST]}, "logits", dynamo=True)
    expected["particles"] = {
        name: module.weight.shape[0] for name, module in model.named_modules() if hasattr(module, "weight")
    }
    update_json(HERE / "expected.json", "model.onnx", expected)


def load_data() -> tuple[torch.Tensor, torch.Tensor]:
    """Images [1797, 1, 32, 32] from 0 to 1, labels [1797]."""
    data = np.load(HERE / "vgg.npz")
    images = data["images"].astype(np.float32)[:, None] / 16
    return torch.from_numpy(images), torch.from_numpy(data["labels"].astype(np.int64))


def start(model: Vgg11) -> None:
    """Eleven layers without normalisation need weights that keep the size of what passes through (arXiv 1502.01852)."""
    for module in model.modules():
        if hasattr(module, "weight"):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            torch.nn.init.zeros_(module.bias)


def train(model: Vgg11, images: torch.Tensor, labels: torch.Tensor) -> None:
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, epochs=EPOCHS, steps_per_epoch=-(-len(images) // BATCH)
    )
    for epoch in range(EPOCHS):
        total = 0.0
        for rows in torch.randperm(len(images)).split(BATCH):
            loss = F.cross_entropy(model(images[rows]), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(rows)
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1:2d}: loss {total / len(images):.4f}")


@torch.no_grad()
def evaluate(model: Vgg11, images: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    logits = model.eval()(images)
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    return F.cross_entropy(logits.double(), labels).item(), accuracy


if __name__ == "__main__":
    main()
