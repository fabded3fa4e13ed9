"""What the scripts share: the clips, how noise is mixed in, and how it is taken out again."""

import math
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
NO_LABEL = 8
LABELS = ["0 right", "0 down", "0 left", "0 up", "1 right", "1 down", "1 left", "1 up"]


def load_clips() -> tuple[torch.Tensor, torch.Tensor]:
    """Every second frame of ../clips: [800, 4, 16, 16] from -1 (paper) to 1 (ink), and labels [800]."""
    data = np.load(HERE.parent / "clips" / "clips.npz")
    clips = torch.from_numpy(data["clips"][:, ::2].astype(np.float32) / 8 - 1)
    return clips, torch.from_numpy(data["labels"].astype(np.int64))


def mix(clip: torch.Tensor, noise: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """The cosine schedule (arXiv 2102.09672): all clip at level 0, all noise at level 1."""
    angle = (level * math.pi / 2).reshape(-1, 1, 1, 1)
    return torch.cos(angle) * clip + torch.sin(angle) * noise


@torch.no_grad()
def sample(predict, labels: torch.Tensor, steps: int = 40, guidance: float = 1.5, seed: int = 0) -> torch.Tensor:
    """Clips [N, 4, 16, 16] out of noise, by DDIM (arXiv 2010.02502) with classifier-free guidance (arXiv 2207.12598).

    predict: (noisy [N, 4, 16, 16], level [N], label [N]) -> noise.
    """
    x = torch.randn(len(labels), 4, 16, 16, generator=torch.Generator().manual_seed(seed))
    nothing = torch.full_like(labels, NO_LABEL)
    levels = torch.linspace(0.98, 0, steps + 1)
    for now, then in zip(levels[:-1], levels[1:]):
        level = now.expand(len(labels))
        free, wanted = predict(x, level, nothing), predict(x, level, labels)
        noise = free + guidance * (wanted - free)
        clip = (x - torch.sin(now * math.pi / 2) * noise) / torch.cos(now * math.pi / 2)
        clip = clip.clamp(-1, 1)
        noise = (x - torch.cos(now * math.pi / 2) * clip) / torch.sin(now * math.pi / 2)
        x = mix(clip, noise, then.expand(len(labels)))
    return x
