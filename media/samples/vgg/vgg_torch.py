"""VGG-11 in PyTorch, as its authors laid it out (configuration A of arXiv 1409.1556), only narrow."""

from pathlib import Path

import torch
from torch import nn

WEIGHTS = Path(__file__).with_name("model.pt")


class Vgg11(nn.Module):
    """Images [N, 1, 32, 32] with ink from 0 to 1 -> logits [N, 10]."""

    def __init__(self, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 12, 3, padding=1)
        self.conv3 = nn.Conv2d(12, 20, 3, padding=1)
        self.conv4 = nn.Conv2d(20, 20, 3, padding=1)
        self.conv5 = nn.Conv2d(20, 32, 3, padding=1)
        self.conv6 = nn.Conv2d(32, 32, 3, padding=1)
        self.conv7 = nn.Conv2d(32, 32, 3, padding=1)
        self.conv8 = nn.Conv2d(32, 32, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.relu = nn.ReLU()
        self.dense1 = nn.Linear(32, 32)
        self.dense2 = nn.Linear(32, 32)
        self.dense3 = nn.Linear(32, classes)

    def forward(self, image):
        x = self.pool(self.relu(self.conv1(image)))
        x = self.pool(self.relu(self.conv2(x)))
        x = self.relu(self.conv3(x))
        x = self.pool(self.relu(self.conv4(x)))
        x = self.relu(self.conv5(x))
        x = self.pool(self.relu(self.conv6(x)))
        x = self.relu(self.conv7(x))
        x = self.pool(self.relu(self.conv8(x)))
        x = torch.flatten(x, 1)
        x = self.relu(self.dense1(x))
        x = self.relu(self.dense2(x))
        return self.dense3(x)


def load(weights=WEIGHTS):
    """The trained network, ready to predict."""
    model = Vgg11()
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()
