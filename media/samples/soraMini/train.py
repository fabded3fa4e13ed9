"""Trains sora-mini in PyTorch to tell noise from clip; writes model.pt, model.onnx, noisy.npz and expected.json."""

import math
import sys
from pathlib import Path

import numpy as np
import torch

from diffusion import NO_LABEL, load_clips, mix
from soraMini_torch import SoraMini

sys.path.append(str(Path(__file__).parents[1] / "common"))
from jsonFile import update_json
from onnxFile import export_onnx

HERE = Path(__file__).parent
TRAIN, TEST = slice(0, 600), slice(600, 800)
SEED = 6
STEPS = 3000
BATCH = 48
LEARNING_RATE = 3e-3
LEVELS = 8
CLIPS_A_LEVEL = 16
REQUIRED_LOSS = 0.15  # that of a model which always answers 0 is 1


def main() -> None:
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    clips, labels = load_clips()
    model = SoraMini()
    average = train(model, clips[TRAIN], labels[TRAIN])
    model.load_state_dict(average)
    torch.save(average, HERE / "model.pt")

    data = noisy_data(clips[TEST], labels[TEST])
    np.savez_compressed(HERE / "noisy.npz", **data)
    inputs = {
        "noisy": torch.from_numpy(data["noisy"].astype(np.float32) / 32),
        "level": torch.from_numpy(data["level"]),
        "label": torch.from_numpy(data["label"].astype(np.int64)),
    }
    with torch.no_grad():
        errors = model.eval()(*inputs.values()).double() - torch.from_numpy(data["noise"].astype(np.float64) / 32)
    by_sample = (errors**2).flatten(1).mean(1).numpy()
    loss = float(by_sample.mean())
    by_level = [float(by_sample[data["group"] == group].mean()) for group in range(LEVELS)]
    print(f"noisy.npz: loss {loss:.4f}; by level {[round(value, 3) for value in by_level]}")
    assert loss < REQUIRED_LOSS
    export_onnx(model, HERE / "model.onnx", inputs, "noise", dynamo=False)
    update_json(HERE / "expected.json", "model.onnx", {
        "about": "Computed by train.py with PyTorch on noisy.npz; groups are noise levels, from little to nearly all.",
        "test": {"loss": loss, "rmse": loss**0.5, "mae": errors.abs().mean().item()},
        "lossByGroup": by_level,
        "particles": {layer: count for block in range(3) for layer, count in {
            f"blocks.{block}.modulation": 192, f"blocks.{block}.attn.qkv": 4, f"blocks.{block}.attn.proj": 32,
            f"blocks.{block}.mlp.fc1": 96, f"blocks.{block}.mlp.fc2": 32,
        }.items()} | {"patches": 32, "level.dense1": 32, "level.dense2": 32, "label": 32, "final.modulation": 64, "final.linear": 32},
    })


def train(model: SoraMini, clips: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Returns the running average of the weights, which is steadier than the last ones."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=STEPS)
    average = {name: value.clone() for name, value in model.state_dict().items()}
    total = 0.0
    for step in range(STEPS):
        rows = torch.randint(len(clips), (BATCH,))
        # The field has no edges, so a moved clip is as good as another.
        clip = clips[rows].roll(tuple(torch.randint(16, (2,)).tolist()), (2, 3))
        label = torch.where(torch.rand(BATCH) < 0.1, NO_LABEL, labels[rows])
        level, noise = 0.98 * torch.rand(BATCH), torch.randn_like(clip)
        error = model(mix(clip, noise, level), level, label) - noise
        # Counted as an error of the velocity, so that all levels weigh alike.
        loss = torch.mean((error / torch.cos(level * math.pi / 2).reshape(-1, 1, 1, 1)) ** 2)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        for name, value in model.state_dict().items():
            average[name].lerp_(value, min(0.01, 10 / (step + 10)))
        total += loss.item()
        if step % 500 == 499:
            print(f"step {step + 1:4d}: loss {total / 500:.4f}", flush=True)
            total = 0.0
    return average


def noisy_data(clips: torch.Tensor, labels: torch.Tensor) -> dict[str, np.ndarray]:
    """Clips with noise of eight levels, in steps of 1/32 so that they are small to store: noise itself does not compress."""
    count = LEVELS * CLIPS_A_LEVEL
    group = torch.arange(count) % LEVELS
    level = (group + 0.5) / LEVELS
    rows = torch.arange(count) // LEVELS * 3
    noise = (torch.randn(count, 4, 16, 16) * 32).round().clamp(-127, 127)
    noisy = (mix(clips[rows] * 32, noise, level)).round().clamp(-127, 127)
    return {
        "noisy": noisy.numpy().astype(np.int8),
        "noise": noise.numpy().astype(np.int8),
        "level": level.numpy().astype(np.float32),
        "label": labels[rows].numpy().astype(np.uint8),
        "group": group.numpy().astype(np.uint8),
    }


if __name__ == "__main__":
    main()
