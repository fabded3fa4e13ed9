"""A small diffusion transformer for clips, in PyTorch: space-time patches, blocks steered by noise level and label.

The blocks are those of DiT with adaLN-Zero (Peebles and Xie, arXiv 2212.09748); patches span two frames, as Sora's do.
"""

import math
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

WEIGHTS = Path(__file__).with_name("model.pt")


class SoraMini(nn.Module):
    """Noisy clips [N, 4, 16, 16], noise levels [N] from 0 to 1, labels [N] -> the noise in them [N, 4, 16, 16]."""

    def __init__(self, width=32, depth=3, heads=4, labels=8):
        super().__init__()
        self.patches = nn.Conv3d(1, width, kernel_size=(2, 4, 4), stride=(2, 4, 4))
        self.position = nn.Parameter(0.02 * torch.randn(32, width))
        self.level = LevelEmbedding(width)
        # One more than there are labels: it stands for none, as classifier-free guidance needs it.
        self.label = nn.Embedding(labels + 1, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.final = FinalLayer(width, 2 * 4 * 4)

    def forward(self, noisy, level, label):
        x = self.patches(noisy.unsqueeze(1))  # [N, width, 2, 4, 4]
        x = x.flatten(2).transpose(1, 2) + self.position  # [N, 32 patches, width]
        condition = F.silu(self.level(level) + self.label(label))
        for block in self.blocks:
            x = block(x, condition)
        x = self.final(x, condition)  # [N, 32 patches, 2 * 4 * 4]
        x = x.reshape(-1, 2, 4, 4, 2, 4, 4)  # patch by time, row, column; then time, row, column in it
        velocity = x.permute(0, 1, 4, 2, 5, 3, 6).reshape(-1, 4, 16, 16)
        # Where there is almost nothing but noise, what came in is the answer: the network says what it differs by, the velocity
        # of arXiv 2202.00512.
        angle = (level * (math.pi / 2)).reshape(-1, 1, 1, 1)
        return torch.sin(angle) * noisy + torch.cos(angle) * velocity


class LevelEmbedding(nn.Module):
    """Sines and cosines of the noise level, then a small perceptron."""

    def __init__(self, width, waves=16):
        super().__init__()
        frequencies = torch.exp(torch.linspace(0, math.log(200), waves // 2))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.dense1 = nn.Linear(waves, width)
        self.dense2 = nn.Linear(width, width)

    def forward(self, level):
        angles = level[:, None] * self.frequencies
        waves = torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)
        return self.dense2(F.silu(self.dense1(waves)))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        count, steps, width = x.shape
        # [3, N, heads, steps, width of a head]
        qkv = self.qkv(x).reshape(count, steps, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = qkv[0], qkv[1], qkv[2]
        scores = query @ key.transpose(-2, -1) / math.sqrt(width // self.heads)
        x = torch.softmax(scores, dim=-1) @ value
        return self.proj(x.transpose(1, 2).reshape(count, steps, width))


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Attention and perceptron; the condition shifts, scales and gates both, with gates that start at zero."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.mlp = Mlp(width, 3 * width)
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x, condition):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition).unsqueeze(1).chunk(6, dim=2)
        x = x + gate1 * self.attn(self.norm1(x) * (1 + scale1) + shift1)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


class FinalLayer(nn.Module):
    def __init__(self, width, patch):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Linear(width, 2 * width)
        self.linear = nn.Linear(width, patch)

    def forward(self, x, condition):
        shift, scale = self.modulation(condition).unsqueeze(1).chunk(2, dim=2)
        return self.linear(self.norm(x) * (1 + scale) + shift)


def load(weights=WEIGHTS):
    """The trained model, ready to predict."""
    model = SoraMini()
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()
