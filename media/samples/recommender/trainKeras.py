"""Trains the neural recommender in Keras; writes neural.keras and what tests expect of it."""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import recommender_keras
from ratings import TEST, TRAIN, load_ratings, ranked

sys.path.append(str(Path(__file__).parents[1] / "common"))
from jsonFile import update_json

HERE = Path(__file__).parent
SEED = 5
EPOCHS = 40
BATCH = 64


def main() -> None:
    keras.utils.set_random_seed(SEED)
    user, item, rating = load_ratings()
    model = recommender_keras.build_model()
    for name in ("user_factors", "item_factors"):
        model.get_layer(name).embeddings_regularizer = keras.regularizers.L2(3e-5)
    schedule = keras.optimizers.schedules.CosineDecay(5e-3, EPOCHS * TRAIN.stop // BATCH)
    model.compile(keras.optimizers.Adam(schedule), "mean_squared_error")
    model.fit([user[TRAIN], item[TRAIN]], rating[TRAIN], batch_size=BATCH, epochs=EPOCHS, verbose=0)
    plain = recommender_keras.build_model()  # without the optimiser's state, which is twice as large as the model
    plain.set_weights(model.get_weights())
    plain.save(HERE / "neural.keras")
    keras.backend.clear_session()
    model = recommender_keras.load()
    answers = model.predict([user[TEST], item[TEST]], verbose=0)[:, 0].astype(np.float64)
    errors = answers - rating[TEST]
    loss = float(np.mean(errors**2))
    print(f"test: rmse {loss**0.5:.4f} (always the mean: {rating[TEST].std():.4f})")
    assert loss**0.5 < 0.75
    users, items = np.arange(160).repeat(200), np.tile(np.arange(200), 160)
    scores = model.predict([users, items], batch_size=4096, verbose=0).reshape(160, 200)
    ranking = ranked(lambda users, items: scores[users, items])
    print(ranking)
    update_json(HERE / "expected.json", "neural.keras", {
        "about": "Computed by trainKeras.py with Keras on the test rows.",
        "test": {"loss": loss, "rmse": loss**0.5, "mae": float(np.mean(np.abs(errors)))},
        "ranking": ranking,
        "particles": {"user_factors": 8, "item_factors": 8, "dense1": 32, "dense2": 16, "rating": 1},
    })


if __name__ == "__main__":
    main()
