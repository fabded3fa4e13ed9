"""Matrix factorisation in PyTorch: a rating is mean + biases + the product of the user's and the item's factors."""

from pathlib import Path

import torch
from torch import nn

WEIGHTS = Path(__file__).with_name("factors.pt")


class MatrixFactorisation(nn.Module):
    """User numbers [N], item numbers [N] -> ratings [N]."""

    def __init__(self, users=160, items=200, factors=6):
        super().__init__()
        self.user_factors = nn.Embedding(users, factors)
        self.item_factors = nn.Embedding(items, factors)
        self.user_bias = nn.Embedding(users, 1)
        self.item_bias = nn.Embedding(items, 1)
        self.mean = nn.Parameter(torch.zeros(1))

    def forward(self, user, item):
        product = (self.user_factors(user) * self.item_factors(item)).sum(dim=1)
        return product + self.user_bias(user).squeeze(1) + self.item_bias(item).squeeze(1) + self.mean


def load(weights=WEIGHTS):
    """The trained model, ready to predict."""
    model = MatrixFactorisation()
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()
