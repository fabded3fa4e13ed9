"""The ratings, and how well a ranking finds what a user liked."""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
TRAIN, TEST = slice(0, 6400), slice(6400, 8000)


def load_ratings() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, items (int64) and ratings (float32) [8000]."""
    table = np.loadtxt(HERE / "ratings.csv", delimiter=",", skiprows=1)
    return table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2].astype(np.float32)


def ranked(score, negatives: int = 99, k: int = 10, positive: int = 4, seed: int = 0) -> dict[str, float]:
    """HR and NDCG of ranking.particlize.json: each liked item of the test rows among items that its user never rated.

    score: (users, items) -> predicted ratings. The items are drawn as Particlize draws them, so that the numbers can be
    compared to the last digit.
    """
    user, item, rating = load_ratings()
    never_rated = {one: np.setdiff1d(item, item[user == one]) for one in np.unique(user)}
    places = []
    for row in range(TEST.start, TEST.stop):
        if rating[row] < positive:
            continue
        free = never_rated[user[row]].tolist()
        random = random_numbers((seed * 0x9E3779B1 + row * 0x85EBCA6B) & 0xFFFFFFFF)
        for at in range(negatives):
            other = at + int(next(random) * (len(free) - at))
            free[at], free[other] = free[other], free[at]
        candidates = np.array([item[row], *free[:negatives]])
        scores = score(np.full(len(candidates), user[row]), candidates)
        places.append(1 + int((scores[1:] >= scores[0]).sum()))
    found = np.array(places)[np.array(places) <= k]
    return {f"HR@{k}": len(found) / len(places), f"NDCG@{k}": float((1 / np.log2(found + 1)).sum() / len(places))}


def random_numbers(seed: int):
    """mulberry32, by Tommy Ettinger (public domain): the same numbers from 0 to 1 in every language."""
    state = seed
    while True:
        state = (state + 0x6D2B79F5) & 0xFFFFFFFF
        t = (state ^ (state >> 15)) * (state | 1) & 0xFFFFFFFF
        t ^= (t + ((t ^ (t >> 7)) * (t | 61) & 0xFFFFFFFF)) & 0xFFFFFFFF
        yield (t ^ (t >> 14)) / 2**32
