"""A small network that predicts the next character, in PyTorch, with an LSTM."""

from pathlib import Path

import torch
from torch import nn

WEIGHTS = Path(__file__).with_name("lstm.pt")


class CharLstm(nn.Module):
    """Character numbers [N, steps] -> logits of the character behind each [N, steps, characters]."""

    def __init__(self, characters=8, embedded=8, hidden=12):
        super().__init__()
        self.embedding = nn.Embedding(characters, embedded)
        self.lstm = nn.LSTM(embedded, hidden, batch_first=True)
        self.dense = nn.Linear(hidden, characters)

    def forward(self, characters):
        states, _ = self.lstm(self.embedding(characters))
        return self.dense(states)


def load(weights=WEIGHTS):
    """The trained network, ready to predict."""
    model = CharLstm()
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()
