"""The digits network in PyTorch."""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

WEIGHTS = Path(__file__).with_name("model.pt")


class DigitsNet(nn.Module):
    """Images [N, 1, 8, 8] with ink from 0 to 1 -> logits [N, 10]."""

    def __init__(self, conv1_width=16, conv2_width=32, dense1_width=64):
        super().__init__()
        self.conv1 = nn.Conv2d(1, conv1_width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(conv1_width, conv2_width, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.dense1 = nn.Linear(conv2_width * 4 * 4, dense1_width)
        self.dense2 = nn.Linear(dense1_width, 10)

    def forward(self, image):
        x = F.relu(self.conv1(image))
        x = F.relu(self.conv2(x))
        x = self.flatten(self.pool(x))
        x = F.relu(self.dense1(x))
        return self.dense2(x)


def load(weights=WEIGHTS):
    """The trained network, ready to predict."""
    model = DigitsNet()
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()
