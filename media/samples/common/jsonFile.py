"""JSON for tests to read: one line a list of numbers, floats to 9 digits (all that a float32 holds)."""

import json
from pathlib import Path


def update_json(path: Path, key: str, value) -> None:
    """Sets one entry of a file that several scripts write to."""
    old = json.loads(path.read_text()) if path.exists() else {}
    write_json(path, dict(sorted({**old, key: value}.items())))


def write_json(path: Path, value) -> None:
    path.write_text(dump(value) + "\n")


def dump(value, indent="") -> str:
    if isinstance(value, dict):
        inner = indent + "  "
        lines = [f"{inner}{json.dumps(key)}: {dump(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(dump(item, indent) for item in value) + "]"
    return f"{value:.9g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
