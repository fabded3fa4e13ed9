"""A convolutional network for each frame and an LSTM over the frames, in PyTorch."""

from pathlib import Path

import torch
from torch import nn

WEIGHTS = Path(__file__).with_name("model.pt")


class ClipNet(nn.Module):
    """Clips [N, 8, 16, 16] with ink from 0 to 1 -> logits [N, 8]."""

    def __init__(self, conv1_width=8, conv2_width=12, hidden=32, classes=8):
        super().__init__()
        self.conv1 = nn.Conv2d(1, conv1_width, 3, padding=1)
        self.conv2 = nn.Conv2d(conv1_width, conv2_width, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.lstm = nn.LSTM(conv2_width * 4 * 4, hidden, batch_first=True)
        self.dense = nn.Linear(hidden, classes)

    def forward(self, clip):
        frames = clip.reshape(-1, 1, 16, 16)  # every frame is a picture of its own
        x = self.pool(torch.relu(self.conv1(frames)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        states, _ = self.lstm(x.reshape(-1, 8, x.shape[1]))  # each clip's frames in a row again
        return self.dense(states[:, -1])


def load(weights=WEIGHTS):
    """The trained network, ready to predict."""
    model = ClipNet()
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()
