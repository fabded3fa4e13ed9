"""Trains the PyTorch network; writes model.pt, model.onnx and what tests expect of it."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from clips_torch import ClipNet

sys.path.append(str(Path(__file__).parents[1] / "common"))
from jsonFile import update_json
from onnxFile import export_onnx

HERE = Path(__file__).parent
TRAIN, TEST = slice(0, 600), slice(600, 800)
SEED = 2
EPOCHS = 120
BATCH = 25
LEARNING_RATE = 4e-3
REQUIRED_ACCURACY = 0.95


def main() -> None:
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    clips, labels = load_data()
    model = ClipNet()
    with torch.no_grad():
        model.lstm.bias_ih_l0[32:64] = 1  # a forget gate that starts open, as Keras has it: memory is learned sooner
    train(model, clips[TRAIN], labels[TRAIN])
    train_loss, train_accuracy = evaluate(model, clips[TRAIN], labels[TRAIN])
    loss, accuracy = evaluate(model, clips[TEST], labels[TEST])
    print(f"train: loss {train_loss:.4f}, accuracy {train_accuracy:.4f}; test: loss {loss:.4f}, accuracy {accuracy:.4f}")
    assert accuracy >= REQUIRED_ACCURACY, f"test accuracy {accuracy:.4f} is below {REQUIRED_ACCURACY}"
    torch.save(model.state_dict(), HERE / "model.pt")
    export_onnx(model, HERE / "model.onnx", {"clip": clips[TEST]}, "logits", dynamo=False)
    update_json(HERE / "expected.json", "model.onnx", {
        "about": "Computed by train.py with PyTorch on the recipe's test rows.",
        "test": {"loss": loss, "accuracy": accuracy},
        "particles": {"conv1": 8, "conv2": 12, "lstm": 32, "dense": 8},
    })


def load_data() -> tuple[torch.Tensor, torch.Tensor]:
    """Clips [800, 8, 16, 16] from 0 to 1, labels [800]."""
    data = np.load(HERE / "clips.npz")
    return torch.from_numpy(data["clips"].astype(np.float32) / 16), torch.from_numpy(data["labels"].astype(np.int64))


def train(model: ClipNet, clips: torch.Tensor, labels: torch.Tensor) -> None:
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS * len(clips) // BATCH)
    for epoch in range(EPOCHS):
        total = 0.0
        for rows in torch.randperm(len(clips)).split(BATCH):
            loss = F.cross_entropy(model(shifted(clips[rows])), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(rows)
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1:2d}: loss {total / len(clips):.4f}")


def shifted(clips: torch.Tensor) -> torch.Tensor:
    """The field has no edges, so a moved clip is as good as another."""
    down, right = torch.randint(16, (2,)).tolist()
    return clips.roll((down, right), (2, 3))


@torch.no_grad()
def evaluate(model: ClipNet, clips: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    logits = model.eval()(clips)
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    return F.cross_entropy(logits.double(), labels).item(), accuracy


if __name__ == "__main__":
    main()
