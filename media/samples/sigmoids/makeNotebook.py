"""Writes sigmoids.ipynb, outputs included."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "common"))
from notebookFile import write_notebook

INTRODUCTION = """\
# Four sigmoid particles and their weighted sum

A network in its smallest form. Four **particles** each look at the ten input features, $g_j(x) = \\sigma(v_j \\cdot x + a_j)$;
their weighted sum is the output:

$$f(x) = \\sigma\\Big(b + \\sum_{j=1}^{4} w_j \\, g_j(x)\\Big)$$

We write it down in NumPy, train it and watch the loss fall, test it on rows it has not seen, plot an input feature
against the output, do the same in PyTorch, and then take the sum apart again: what does each particle contribute?
"""

DATA = """\
import numpy as np

table = np.loadtxt("sigmoids.csv", delimiter=",", skiprows=1)
x, y = table[:, :10], table[:, 10]  # [600, 10], [600]
train, test = slice(0, 500), slice(500, 600)
print(f"{x[train].shape[0]} rows to train on, {x[test].shape[0]} to test on; y from {y.min():.2f} to {y.max():.2f}")
"""

MODEL = """\
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def particle_model(x, parameters):
    \"\"\"x: [rows, 10]. Returns the outputs [rows] and what each particle gives [rows, 4].\"\"\"
    v, a, w, b = parameters  # [4, 10], [4], [4], one number
    particles = sigmoid(x @ v.T + a)
    return sigmoid(particles @ w + b), particles


def loss_of(x, y, parameters):
    return np.mean((particle_model(x, parameters)[0] - y) ** 2)


def gradients(x, y, parameters):
    \"\"\"How the loss changes with each parameter: the chain rule, from the output back to the inputs.\"\"\"
    _, _, w, _ = parameters
    output, particles = particle_model(x, parameters)
    by_sum = 2 * (output - y) / len(y) * output * (1 - output)  # [rows]
    by_particle = by_sum[:, None] * w * particles * (1 - particles)  # [rows, 4]
    return [by_particle.T @ x, by_particle.sum(0), particles.T @ by_sum, by_sum.sum()]


random = np.random.default_rng(1)
start = [random.normal(0, 1, (4, 10)), np.zeros(4), random.normal(0, 1, (1, 4))[0], 0.0]
"""

CHECK_TEXT = """\
Gradients written by hand are easily wrong, and a wrong one may still make the loss fall a little. So: nudge a few
parameters and compare what the loss does with what the gradients say.
"""

CHECK = """\
said = gradients(x[train], y[train], start)
for group, place in [(0, (2, 5)), (1, (3,)), (2, (0,))]:
    change = []
    for nudge in (1e-5, -1e-5):
        nudged = [np.array(parameter) for parameter in start]
        nudged[group][place] += nudge
        change.append(loss_of(x[train], y[train], nudged))
    measured = (change[0] - change[1]) / 2e-5
    print(f"gradient {said[group][place]:+.8f}, measured {measured:+.8f}")
    assert abs(said[group][place] - measured) < 1e-8
"""

TRAIN = """\
parameters = [np.array(parameter) for parameter in start]
speed = [np.zeros_like(parameter) for parameter in parameters]
for epoch in range(3001):
    if epoch % 300 == 0:
        print(f"epoch {epoch:4d}: loss {loss_of(x[train], y[train], parameters):.6f}")
    for parameter, momentum, gradient in zip(parameters, speed, gradients(x[train], y[train], parameters)):
        momentum *= 0.9
        momentum += gradient
        parameter -= 2.0 * momentum
"""

TEST = """\
output, particles = particle_model(x[test], parameters)
print(f"test loss {np.mean((output - y[test]) ** 2):.6f}; answering the mean every time would give {y[test].var():.6f}")
assert np.mean((output - y[test]) ** 2) < 4e-4
"""

PLOT = """\
import matplotlib.pyplot as plt

plt.figure(figsize=(6, 4))
plt.scatter(x[test][:, 0], y[test], s=40, facecolors="none", edgecolors="tab:gray", label="measured")
plt.scatter(x[test][:, 0], output, s=12, label="model")
plt.xlabel("input feature 1")
plt.ylabel("output")
plt.legend()
plt.show()
"""

TORCH_TEXT = """\
## The same in PyTorch

`sigmoids_torch.py` defines it; the gradients are PyTorch's. Started alike, both must arrive at the same weights.
"""

TORCH = """\
import torch

from sigmoids_torch import ParticleModel

torch.set_num_threads(1)
model = ParticleModel().double()
with torch.no_grad():
    for parameter, value in zip(model.parameters(), start):
        parameter.copy_(torch.as_tensor(value).reshape(parameter.shape))
inputs, targets = torch.from_numpy(x), torch.from_numpy(y)[:, None]
optimiser = torch.optim.SGD(model.parameters(), lr=2.0, momentum=0.9)
for epoch in range(3001):
    loss = torch.mean((model(inputs[train]) - targets[train]) ** 2)
    if epoch % 300 == 0:
        print(f"epoch {epoch:4d}: loss {loss.item():.6f}")
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
difference = max(
    np.abs(ours - theirs.detach().numpy().reshape(np.shape(ours))).max()
    for ours, theirs in zip(parameters, model.parameters())
)
print(f"largest difference between the weights of NumPy and PyTorch: {difference:.0e}")
assert difference < 1e-6
"""

TERMS_TEXT = """\
## What does each particle do?

The output is made of the terms $w_j \\, g_j(x)$ and nothing else, so they say what each particle is worth. First what each
looks at, then the size of its term, as the mean over the test rows of how far it moves the sum from that term's own mean.
"""

WEIGHTS = """\
import sys

sys.path.append("../common")
from particleCharts import heatmap

v, a, w, b = parameters
for feature in range(2):
    column = {"name": f"x{feature + 1}", "title": f"Weight of feature {feature + 1}", "unit": "", "scale": "diverging"}
    heatmap(f"What the particles make of feature {feature + 1}", [("particles", "neuron")], column, [v[:, feature]])
"""

TERMS = """\
terms = particles * w  # [rows, 4]
assert np.allclose(sigmoid(terms.sum(1) + b), output)
moves = np.abs(terms - terms.mean(0)).mean(0)
column = {"name": "contribution", "title": "Contribution", "unit": ""}
heatmap("What each particle adds to the sum", [("particles", "neuron")], column, [moves])
for particle in np.argsort(moves):
    without = sigmoid(terms.sum(1) - terms[:, particle] + terms[:, particle].mean() + b)
    print(f"particle {particle}: contribution {moves[particle]:.3f}, test loss without it {np.mean((without - y[test]) ** 2):.6f}")
"""

CLOSING = """\
Two particles hold the rise and the fall along feature 1, one the influence of feature 2, and one is all but idle: the data was
made of three sigmoids (`makeData.py`), so one of four is left over. Particlize finds the same in `model.onnx` and
`model.keras`: right-click one of them in the explorer and choose **Particlize**.
"""


def main() -> None:
    write_notebook(HERE / "sigmoids.ipynb", [
        ("introduction", "markdown", INTRODUCTION),
        ("data", "code", DATA),
        ("model", "code", MODEL),
        ("check-text", "markdown", CHECK_TEXT),
        ("check", "code", CHECK),
        ("train", "code", TRAIN),
        ("test", "code", TEST),
        ("plot", "code", PLOT),
        ("torch-text", "markdown", TORCH_TEXT),
        ("torch", "code", TORCH),
        ("terms-text", "markdown", TERMS_TEXT),
        ("weights", "code", WEIGHTS),
        ("terms", "code", TERMS),
        ("closing", "markdown", CLOSING),
    ])


if __name__ == "__main__":
    main()
