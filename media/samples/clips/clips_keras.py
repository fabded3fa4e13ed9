"""A convolutional network for each frame and an LSTM over the frames, in Keras."""

from pathlib import Path

import keras
from keras import layers

WEIGHTS = Path(__file__).with_name("model.keras")


def build_model():
    """Clips [N, 8, 16, 16, 1] with ink from 0 to 1 -> probabilities [N, 8]."""
    clip = keras.Input(shape=(8, 16, 16, 1), name="clip")
    x = layers.TimeDistributed(layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1"), name="frames_conv1")(clip)
    x = layers.TimeDistributed(layers.MaxPooling2D(2, name="pool1"), name="frames_pool1")(x)
    x = layers.TimeDistributed(layers.Conv2D(12, 3, padding="same", activation="relu", name="conv2"), name="frames_conv2")(x)
    x = layers.TimeDistributed(layers.MaxPooling2D(2, name="pool2"), name="frames_pool2")(x)
    x = layers.TimeDistributed(layers.Flatten(name="flatten"), name="frames_flatten")(x)
    x = layers.LSTM(32, name="lstm")(x)
    probabilities = layers.Dense(8, activation="softmax", name="dense")(x)
    return keras.Model(clip, probabilities, name="clips")


def load(weights=WEIGHTS):
    """The trained network, ready to predict."""
    model = build_model()
    model.load_weights(weights)
    return model
