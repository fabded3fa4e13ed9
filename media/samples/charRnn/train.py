"""Trains both PyTorch networks; writes lstm.pt, lstm.onnx, gru.pt, gru.onnx and what tests expect of them."""

import sys
from pathlib import Path

import torch
from torch.nn import functional as F

from charGru_torch import CharGru
from charLstm_torch import CharLstm
from text import TEST, TRAIN, counting, load_depths, load_windows

sys.path.append(str(Path(__file__).parents[1] / "common"))
from jsonFile import update_json
from onnxFile import export_onnx

HERE = Path(__file__).parent
MODELS = {"lstm": CharLstm, "gru": CharGru}
SEED = 1
EPOCHS = 60
BATCH = 20
LEARNING_RATE = 1e-2
# Units that are quiet when they have nothing to say are easier to read.
ACTIVITY = 0.1


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    windows, following = (torch.from_numpy(array) for array in load_windows())
    depth = load_depths()[TEST]
    for kind, make in MODELS.items():
        torch.manual_seed(SEED)
        model = make()
        train(model, model.get_submodule(kind), windows[TRAIN], following[TRAIN])
        loss, accuracy = evaluate(model, windows[TEST], following[TEST])
        with torch.no_grad():
            states, _ = model.get_submodule(kind)(model.embedding(windows[TEST]))
        unit, correlation = counting(states.numpy(), depth)
        print(f"{kind}: test loss {loss:.4f}, accuracy {accuracy:.4f}; unit {unit} counts, correlation {correlation:.3f}")
        torch.save(model.state_dict(), HERE / f"{kind}.pt")
        export_onnx(model, HERE / f"{kind}.onnx", {"characters": windows[TEST]}, "logits", dynamo=False)
        update_json(HERE / "expected.json", f"{kind}.onnx", {
            "about": "Computed by train.py with PyTorch on the recipe's test windows.",
            "test": {"loss": loss, "accuracy": accuracy},
            "counting": {"unit": unit, "correlation": correlation},
            "particles": {"embedding": 8, kind: 12, "dense": 8},
        })


def train(model: torch.nn.Module, layer: torch.nn.Module, windows: torch.Tensor, following: torch.Tensor) -> None:
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS * len(windows) // BATCH)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(windows)).split(BATCH):
            states, _ = layer(model.embedding(windows[rows]))
            logits = model.dense(states).flatten(0, 1)
            loss = F.cross_entropy(logits, following[rows].flatten()) + ACTIVITY * states.abs().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


@torch.no_grad()
def evaluate(model: torch.nn.Module, windows: torch.Tensor, following: torch.Tensor) -> tuple[float, float]:
    logits, wanted = model.eval()(windows).flatten(0, 1), following.flatten()
    accuracy = (logits.argmax(1) == wanted).double().mean().item()
    return F.cross_entropy(logits.double(), wanted).item(), accuracy


if __name__ == "__main__":
    main()
