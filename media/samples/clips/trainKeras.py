"""Trains the Keras network on its own; writes model.keras and what tests expect of it."""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import clips_keras

sys.path.append(str(Path(__file__).parents[1] / "common"))
from jsonFile import update_json

HERE = Path(__file__).parent
TRAIN, TEST = slice(0, 600), slice(600, 800)
SEED = 4
EPOCHS = 50
BATCH = 25
REQUIRED_ACCURACY = 0.95


def main() -> None:
    keras.utils.set_random_seed(SEED)
    data = np.load(HERE / "clips.npz")
    clips, labels = data["clips"].astype(np.float32)[..., None] / 16, data["labels"].astype(np.int64)
    model = clips_keras.build_model()
    schedule = keras.optimizers.schedules.CosineDecay(4e-3, EPOCHS * TRAIN.stop // BATCH)
    model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
    random = np.random.default_rng(SEED)
    for epoch in range(EPOCHS):
        # The field has no edges, so a moved clip is as good as another.
        moved = np.roll(clips[TRAIN], tuple(random.integers(16, size=2)), (2, 3))
        history = model.fit(moved, labels[TRAIN], batch_size=BATCH, epochs=1, verbose=0).history
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1:2d}: loss {history['loss'][0]:.4f}")
    plain = clips_keras.build_model()  # without the optimiser's state, which is twice as large as the model
    plain.set_weights(model.get_weights())
    plain.save(HERE / "model.keras")
    keras.backend.clear_session()
    probabilities = clips_keras.load().predict(clips[TEST], verbose=0).astype(np.float64)
    accuracy = float(np.mean(probabilities.argmax(1) == labels[TEST]))
    loss = float(-np.log(probabilities[np.arange(len(probabilities)), labels[TEST]]).mean())
    print(f"test: loss {loss:.4f}, accuracy {accuracy:.4f}")
    assert accuracy >= REQUIRED_ACCURACY, f"test accuracy {accuracy:.4f} is below {REQUIRED_ACCURACY}"
    update_json(HERE / "expected.json", "model.keras", {
        "about": "Computed by trainKeras.py with Keras on the recipe's test rows.",
        "test": {"loss": loss, "accuracy": accuracy},
        "particles": {"frames_conv1": 8, "frames_conv2": 12, "lstm": 32, "dense": 8},
    })


if __name__ == "__main__":
    main()
