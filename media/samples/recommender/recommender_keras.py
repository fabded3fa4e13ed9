"""A neural recommender in Keras: the factors of user and item side by side, then dense layers."""

from pathlib import Path

import keras
from keras import layers

WEIGHTS = Path(__file__).with_name("neural.keras")


def build_model():
    """User numbers [N], item numbers [N] -> ratings [N, 1]."""
    user = keras.Input(shape=(), dtype="int32", name="user")
    item = keras.Input(shape=(), dtype="int32", name="item")
    user_factors = layers.Embedding(160, 8, name="user_factors")(user)
    item_factors = layers.Embedding(200, 8, name="item_factors")(item)
    x = layers.Concatenate(name="both")([user_factors, item_factors])
    x = layers.Dense(32, activation="relu", name="dense1")(x)
    x = layers.Dense(16, activation="relu", name="dense2")(x)
    rating = layers.Dense(1, name="rating")(x)
    return keras.Model([user, item], rating, name="recommender")


def load(weights=WEIGHTS):
    """The trained model, ready to predict."""
    model = build_model()
    model.load_weights(weights)
    return model
