"""Trains the four particles in PyTorch; writes model.pt, model.onnx and expected.json."""

import sys
from pathlib import Path

import numpy as np
import torch

import sigmoids_torch

sys.path.append(str(Path(__file__).parents[1] / "common"))
from jsonFile import update_json
from onnxFile import export_onnx

HERE = Path(__file__).parent
TRAIN, TEST = slice(0, 500), slice(500, 600)
SEED = 1
EPOCHS = 3000
LEARNING_RATE = 2.0
MOMENTUM = 0.9


def main() -> None:
    torch.set_num_threads(1)
    x, y = load_data()
    model = sigmoids_torch.ParticleModel()
    start(model)
    train(model, x[TRAIN], y[TRAIN])
    test_loss = loss_of(model, x[TEST], y[TEST])
    print(f"test: mean squared error {test_loss:.6f}")
    assert test_loss < 4e-4, "the noise alone is 1e-4"
    torch.save(model.state_dict(), HERE / "model.pt")
    export_onnx(model, HERE / "model.onnx", {"x": x}, "y", dynamo=False)
    with torch.no_grad():
        distances = (model(x[TEST]).double() - y[TEST].double()).abs()
    update_json(HERE / "expected.json", "model.onnx", {
        "about": "Computed by train.py with PyTorch on rows 500 to 599.",
        "test": {"loss": test_loss, "rmse": test_loss**0.5, "mae": distances.mean().item()},
        "particles": {"particles": 4, "weighted_sum": 1},
    })


def load_data() -> tuple[torch.Tensor, torch.Tensor]:
    """x [600, 10], y [600, 1]."""
    table = np.loadtxt(HERE / "sigmoids.csv", delimiter=",", skiprows=1, dtype=np.float32)
    return torch.from_numpy(table[:, :10].copy()), torch.from_numpy(table[:, 10:].copy())


def start(model: torch.nn.Module) -> None:
    """The weights that the notebook starts from as well, in the same order."""
    random = np.random.default_rng(SEED)
    with torch.no_grad():
        for layer in (model.particles, model.weighted_sum):
            layer.weight.copy_(torch.from_numpy(random.normal(0, 1, layer.weight.shape).astype(np.float32)))
            layer.bias.zero_()


def train(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    optimiser = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    for epoch in range(EPOCHS + 1):
        loss = torch.mean((model(x) - y) ** 2)
        if epoch % 300 == 0:
            print(f"epoch {epoch:4d}: loss {loss.item():.6f}")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


@torch.no_grad()
def loss_of(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    return torch.mean((model(x).double() - y.double()) ** 2).item()


if __name__ == "__main__":
    main()
