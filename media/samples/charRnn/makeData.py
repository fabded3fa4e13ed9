"""Writes nested.txt and vocabulary.json: lines of nested brackets whose letters tell how deep they stand.

Every line has 32 characters with its line break, so that a window of 32 characters is a line:

    ((bb(c))a((c(d))b)aa(b(c)b(c)a))   would be one, were all its brackets closed where they should be

A letter right behind a bracket can only be known by counting brackets: that is the structure planted here. depth.json
holds the count itself, for whoever wants to find a unit that counts.
"""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SEED = 9
LINES = 800
LENGTH = 32
DEEPEST = 5
LETTERS = "abcde"


def main() -> None:
    random = np.random.default_rng(SEED)
    text = "".join(line(random) for _ in range(LINES))
    (HERE / "nested.txt").write_text(text)
    (HERE / "vocabulary.json").write_text(json.dumps(sorted(set(text))) + "\n")
    print(text[: 5 * LENGTH])


def line(random: np.random.Generator) -> str:
    written, depth = "(", 1
    while len(written) < LENGTH - 2:
        left = LENGTH - 2 - len(written)  # before the bracket that closes the line
        choices = [")"] if depth - 1 == left else ["(" * (depth < DEEPEST and depth < left), ")" * (depth > 1), LETTERS[depth - 1] * (depth - 1 < left)]
        choice = random.choice([choice for choice in choices if choice])
        depth += (choice == "(") - (choice == ")")
        written += choice
    return written + ")\n"


def depths(text: str) -> np.ndarray:
    """How many brackets are open behind each character."""
    return np.cumsum([(character == "(") - (character == ")") for character in text])


if __name__ == "__main__":
    main()
