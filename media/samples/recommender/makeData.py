"""Writes ratings.csv and truth.json: ratings that three planted factors explain.

Every item belongs to one of three kinds (comedies, say) and shows that kind or its opposite; every user has a taste for
each. A rating is a mean, a bias of the user, a bias of the item and taste times kind, with some noise, in whole stars from
1 to 5.
Rows come shuffled: 0 to 6399 are for training, 6400 to 7999 for testing.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "common"))
from jsonFile import write_json

HERE = Path(__file__).parent
SEED = 8
USERS, ITEMS, FACTORS = 160, 200, 3
RATED = 50  # items a user


def main() -> None:
    random = np.random.default_rng(SEED)
    taste = random.normal(0, 1, (USERS, FACTORS))
    kind = np.zeros((ITEMS, FACTORS))
    strength = random.uniform(0.5, 1.5, ITEMS) * random.choice([-1, 1], ITEMS)
    kind[np.arange(ITEMS), np.arange(ITEMS) % FACTORS] = strength
    user_bias, item_bias = random.normal(0, 0.3, USERS), random.normal(0, 0.3, ITEMS)
    score = 3.1 + user_bias[:, None] + item_bias + taste @ kind.T + random.normal(0, 0.15, (USERS, ITEMS))
    pairs = [(user, item) for user in range(USERS) for item in random.choice(ITEMS, RATED, replace=False)]
    user, item = random.permutation(pairs).T
    rating = score[user, item].round().clip(1, 5)
    np.savetxt(
        HERE / "ratings.csv", np.column_stack([user, item, rating]), fmt="%d", delimiter=",",
        header="user,item,rating", comments="",
    )
    write_json(HERE / "truth.json", {
        "about": "The planted factors, made by makeData.py; lists of one number a user or item, one list a factor.",
        "userFactors": taste.T.round(4).tolist(),
        "itemFactors": kind.T.round(4).tolist(),
        "userBias": user_bias.round(4).tolist(),
        "itemBias": item_bias.round(4).tolist(),
    })
    print(f"ratings.csv: {len(rating)} ratings, {np.bincount(rating.astype(int))[1:].tolist()} with 1 to 5 stars")


if __name__ == "__main__":
    main()
