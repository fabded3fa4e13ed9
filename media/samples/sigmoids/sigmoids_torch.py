"""Four sigmoid particles joined by a weighted sum, in PyTorch."""

from pathlib import Path

import torch
from torch import nn

WEIGHTS = Path(__file__).with_name("model.pt")


class ParticleModel(nn.Module):
    """Features [N, 10] -> output [N, 1] from 0 to 1."""

    def __init__(self, features=10, particles=4):
        super().__init__()
        self.particles = nn.Linear(features, particles)
        self.weighted_sum = nn.Linear(particles, 1)

    def forward(self, x):
        particles = torch.sigmoid(self.particles(x))
        return torch.sigmoid(self.weighted_sum(particles))


def load(weights=WEIGHTS):
    """The trained model, ready to predict."""
    model = ParticleModel()
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()
