"""Trains the Keras network on its own; writes lstm.keras and what tests expect of it."""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import charLstm_keras
from text import TEST, TRAIN, counting, load_depths, load_windows

sys.path.append(str(Path(__file__).parents[1] / "common"))
from jsonFile import update_json

HERE = Path(__file__).parent
SEED = 1
EPOCHS = 60
BATCH = 20


def main() -> None:
    keras.utils.set_random_seed(SEED)
    windows, following = load_windows()
    model = charLstm_keras.build_model()
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, EPOCHS * TRAIN.stop // BATCH)
    model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy")
    model.fit(windows[TRAIN], following[TRAIN], batch_size=BATCH, epochs=EPOCHS, verbose=0)
    plain = charLstm_keras.build_model()  # without the optimiser's state, which is twice as large as the model
    plain.set_weights(model.get_weights())
    plain.save(HERE / "lstm.keras")
    keras.backend.clear_session()

    model = charLstm_keras.load()
    probabilities = model.predict(windows[TEST], verbose=0).astype(np.float64)
    chosen = np.take_along_axis(probabilities, following[TEST][..., None], -1)
    loss, accuracy = float(-np.log(chosen).mean()), float(np.mean(probabilities.argmax(-1) == following[TEST]))
    states = keras.Model(model.inputs, model.get_layer("lstm").output).predict(windows[TEST], verbose=0)
    unit, correlation = counting(states, load_depths()[TEST])
    print(f"keras: test loss {loss:.4f}, accuracy {accuracy:.4f}; unit {unit} counts, correlation {correlation:.3f}")
    update_json(HERE / "expected.json", "lstm.keras", {
        "about": "Computed by trainKeras.py with Keras on the recipe's test windows.",
        "test": {"loss": loss, "accuracy": accuracy},
        "counting": {"unit": unit, "correlation": correlation},
        "particles": {"embedding": 8, "lstm": 12, "dense": 8},
    })


if __name__ == "__main__":
    main()
