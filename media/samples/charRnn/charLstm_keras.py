"""A small network that predicts the next character, in Keras, with an LSTM."""

from pathlib import Path

import keras
from keras import layers

WEIGHTS = Path(__file__).with_name("lstm.keras")


def build_model():
    """Character numbers [N, 32] -> probabilities of the character behind each [N, 32, 8]."""
    return keras.Sequential(
        [
            keras.Input(shape=(32,), dtype="int32", name="characters"),
            layers.Embedding(8, 8, name="embedding"),
            layers.LSTM(12, return_sequences=True, name="lstm"),
            layers.Dense(8, activation="softmax", name="dense"),
        ],
        name="char_lstm",
    )


def load(weights=WEIGHTS):
    """The trained network, ready to predict."""
    model = build_model()
    model.load_weights(weights)
    return model
