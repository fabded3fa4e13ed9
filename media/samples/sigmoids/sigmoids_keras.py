"""Four sigmoid particles joined by a weighted sum, in Keras."""

from pathlib import Path

import keras
from keras import layers

WEIGHTS = Path(__file__).with_name("model.keras")


def build_model():
    """Features [N, 10] -> output [N, 1] from 0 to 1."""
    return keras.Sequential(
        [
            keras.Input(shape=(10,), name="x"),
            layers.Dense(4, activation="sigmoid", name="particles"),
            layers.Dense(1, activation="sigmoid", name="weighted_sum"),
        ],
        name="sigmoids",
    )


def load(weights=WEIGHTS):
    """The trained model, ready to predict."""
    model = build_model()
    model.load_weights(weights)
    return model
