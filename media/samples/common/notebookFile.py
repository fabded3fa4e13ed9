"""Writes a sample's notebook, outputs included: runs its cells in order and stores what they print and display."""

import base64
import contextlib
import io
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Callable


def write_notebook(path: Path, cells: list[tuple[str, str, str]]) -> None:
    """cells: (id, "markdown" or "code", text). The code runs in the notebook's folder, as it does in an editor."""
    os.environ["MPLBACKEND"] = "agg"
    os.chdir(path.parent)
    sys.path.insert(0, str(path.parent))
    scope: dict = {"__name__": "__main__"}
    written = []
    for name, kind, text in cells:
        count = sum(cell["cell_type"] == "code" for cell in written) + 1
        written.append(markdown(name, text) if kind == "markdown" else code(name, text, scope, count))
    notebook = {
        "cells": written,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    text = json.dumps(notebook, indent=1, ensure_ascii=False)
    path.write_text(text + "\n")
    print(f"{path.name}: {len(written)} cells, {len(text) // 1024} KiB")


def markdown(name: str, text: str) -> dict:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": lines(text)}


def code(name: str, text: str, scope: dict, count: int) -> dict:
    shown: list[dict] = []
    printed = io.StringIO()
    with recording(lambda data, raw: shown.append(data)), contextlib.redirect_stdout(printed):
        exec(compile(text, name, "exec"), scope)
    shown.extend(figures())
    outputs = [{"output_type": "display_data", "data": data, "metadata": {}} for data in shown]
    if printed.getvalue():
        outputs.insert(0, {"output_type": "stream", "name": "stdout", "text": lines(printed.getvalue())})
    return {
        "cell_type": "code",
        "id": name,
        "metadata": {},
        "execution_count": count,
        "source": lines(text),
        "outputs": outputs,
    }


def figures() -> list[dict]:
    """What Matplotlib would show at the end of a cell."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return []
    found = []
    for number in pyplot.get_fignums():
        picture = io.BytesIO()
        pyplot.figure(number).savefig(picture, format="png", dpi=72, metadata={"Software": None})
        size = pyplot.figure(number).get_size_inches()
        found.append({
            "image/png": base64.b64encode(picture.getvalue()).decode(),
            "text/plain": f"<Figure size {size[0] * 100:.0f}x{size[1] * 100:.0f}>",
        })
    pyplot.close("all")
    return found


@contextlib.contextmanager
def recording(display: Callable):
    """What `from IPython.display import display` gives while a cell runs; IPython itself is not needed."""
    package, module = ModuleType("IPython"), ModuleType("IPython.display")
    module.display = display
    package.get_ipython = lambda: None  # Matplotlib asks
    package.version_info = (9, 0, 0, "")
    before = {name: sys.modules.get(name) for name in ("IPython", "IPython.display")}
    sys.modules.update({"IPython": package, "IPython.display": module})
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                sys.modules.pop(name)
            else:
                sys.modules[name] = old


def lines(text: str) -> list[str]:
    return text.rstrip("\n").splitlines(keepends=True)
