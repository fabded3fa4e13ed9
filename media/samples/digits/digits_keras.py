"""The digits network in Keras."""

from pathlib import Path

import keras
from keras import layers

WEIGHTS = Path(__file__).with_name("model.keras")


def build_model():
    """Images [N, 8, 8, 1] with ink from 0 to 1 -> probabilities [N, 10]."""
    return keras.Sequential(
        [
            keras.Input(shape=(8, 8, 1), name="image"),
            layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Flatten(name="flatten"),
            layers.Dense(64, activation="relu", name="dense1"),
            layers.Dense(10, activation="softmax", name="dense2"),
        ],
        name="digits",
    )


def load(weights=WEIGHTS):
    """The trained network, ready to predict."""
    model = build_model()
    model.load_weights(weights)
    return model
