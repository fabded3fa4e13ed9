"""A training step of the nets of forwardModels.ts in PyTorch, for training.bench.ts: python3 training.py THREADS

Reads 'NET OPTIMISER' a line, takes one step and writes its milliseconds, on the clock and of the processor.
"""

import io
import sys
import time

import torch
from torch.nn import functional as F

lines = sys.stdin
sys.stdin = io.StringIO("")  # forward.py reads the nets that it is to run from there
import forward  # noqa: E402

steps = {}
for line in lines:
    name, optimiser = line.split()
    if (name, optimiser) not in steps:
        torch.manual_seed(0)
        net, x = getattr(forward, name)()
        net.train()
        make = {"sgd": lambda p: torch.optim.SGD(p, 1e-4, momentum=0.9, weight_decay=1e-4), "adam": lambda p: torch.optim.Adam(p, 1e-4)}[optimiser]
        steps[name, optimiser] = net, x, make(net.parameters())
    net, x, update = steps[name, optimiser]
    start, used = time.perf_counter(), time.process_time()
    update.zero_grad()
    y = net(x)
    y = y[0] if isinstance(y, tuple) else y
    loss = F.cross_entropy(y, torch.arange(len(y)) % 10) if y.dim() == 2 else (y * y).mean()
    loss.backward()
    update.step()
    loss.item()
    print((time.perf_counter() - start) * 1000, (time.process_time() - used) * 1000, flush=True)
