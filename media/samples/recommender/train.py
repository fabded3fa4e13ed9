"""Trains the matrix factorisation in PyTorch; writes factors.pt, factors.onnx and what tests expect of it."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from ratings import TEST, TRAIN, load_ratings, ranked
from recommender_torch import MatrixFactorisation

sys.path.append(str(Path(__file__).parents[1] / "common"))
from jsonFile import update_json
from onnxFile import export_onnx

HERE = Path(__file__).parent
SEED = 3
STEPS = 1500
LEARNING_RATE = 0.02
# An item has few kinds: a penalty on the items' factors that likes zeros, and one on the users' that keeps their scale.
ITEM_L1 = 0.1
USER_L2 = 0.02
BIAS_L2 = 0.05


def main() -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    user, item, rating = (torch.from_numpy(column) for column in load_ratings())
    model = MatrixFactorisation()
    train(model, user[TRAIN], item[TRAIN], rating[TRAIN])
    with torch.no_grad():
        errors = model(user[TEST], item[TEST]).double() - rating[TEST].double()
    loss = (errors**2).mean().item()
    print(f"test: rmse {loss**0.5:.4f} (always the mean: {rating[TEST].std():.4f})")
    found = planted(model)
    with torch.no_grad():
        ranking = ranked(lambda users, items: model(torch.from_numpy(users), torch.from_numpy(items)).numpy())
    print(ranking)
    torch.save(model.state_dict(), HERE / "factors.pt")
    export_onnx(model, HERE / "factors.onnx", {"user": user[TEST], "item": item[TEST]}, "rating", dynamo=False)
    update_json(HERE / "expected.json", "factors.onnx", {
        "about": "Computed by train.py with PyTorch on the test rows; planted: which factor is which of truth.json.",
        "test": {"loss": loss, "rmse": loss**0.5, "mae": errors.abs().mean().item()},
        "ranking": ranking,
        "planted": found,
        "particles": {"user_factors": 6, "item_factors": 6},
    })


def train(model: MatrixFactorisation, user: torch.Tensor, item: torch.Tensor, rating: torch.Tensor) -> None:
    with torch.no_grad():
        model.mean.fill_(rating.mean())
        for table in (model.user_factors, model.item_factors):
            table.weight.normal_(0, 0.3)
        for table in (model.user_bias, model.item_bias):
            table.weight.zero_()
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for step in range(STEPS + 1):
        loss = torch.mean((model(user, item) - rating) ** 2)
        penalty = (
            ITEM_L1 * model.item_factors.weight.abs().sum(1).mean()
            + USER_L2 * (model.user_factors.weight**2).sum(1).mean()
            + BIAS_L2 * ((model.user_bias.weight**2).mean() + (model.item_bias.weight**2).mean())
        )
        if step % 250 == 0:
            print(f"step {step:4d}: loss {loss.item():.4f}, penalty {penalty.item():.4f}")
        optimiser.zero_grad()
        (loss + penalty).backward()
        optimiser.step()
        schedule.step()


def planted(model: MatrixFactorisation) -> list[dict]:
    """For each planted factor the found one that goes best with it, over the items and over the users."""
    truth = json.loads((HERE / "truth.json").read_text())
    users = model.user_factors.weight.detach().numpy()
    items = model.item_factors.weight.detach().numpy()
    print("size of the item factors:", np.linalg.norm(items, axis=0).round(2))
    answers = []
    for number, (of_items, of_users) in enumerate(zip(truth["itemFactors"], truth["userFactors"])):
        correlations = [np.corrcoef(items[:, factor], of_items)[0, 1] for factor in range(items.shape[1])]
        factor = int(np.nanargmax(np.abs(correlations)))
        item_correlation = float(correlations[factor])
        user_correlation = float(np.corrcoef(users[:, factor], of_users)[0, 1])
        print(f"planted {number} is factor {factor}: items {item_correlation:.3f}, users {user_correlation:.3f}")
        assert min(abs(item_correlation), abs(user_correlation)) >= 0.95
        answers.append({"factor": factor, "itemCorrelation": item_correlation, "userCorrelation": user_correlation})
    return answers


if __name__ == "__main__":
    main()
