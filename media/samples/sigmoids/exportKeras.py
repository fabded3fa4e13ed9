"""Puts the weights of model.onnx into Keras, writes model.keras and checks that both give the same.

A script of its own: PyTorch and TensorFlow do not always go into one process.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import onnx
import onnxruntime
from onnx.numpy_helper import to_array

import sigmoids_keras

sys.path.append(str(Path(__file__).parents[1] / "common"))
from jsonFile import update_json

HERE = Path(__file__).parent


def main() -> None:
    weights = {tensor.name: to_array(tensor) for tensor in onnx.load(HERE / "model.onnx").graph.initializer}
    model = sigmoids_keras.build_model()
    for name in ("particles", "weighted_sum"):
        model.get_layer(name).set_weights([weights[f"{name}.weight"].T, weights[f"{name}.bias"]])
    model.save(HERE / "model.keras")
    keras.backend.clear_session()
    table = np.loadtxt(HERE / "sigmoids.csv", delimiter=",", skiprows=1, dtype=np.float32)[500:]
    x = table[:, :10]
    reference = onnxruntime.InferenceSession(HERE / "model.onnx").run(["y"], {"x": x})[0]
    answers = sigmoids_keras.load().predict(x, verbose=0)
    error = np.abs(answers - reference).max()
    print(f"model.keras: largest difference {error:.1e}")
    assert error < 1e-5
    distances = np.abs(answers[:, 0].astype(float) - table[:, 10].astype(float))
    loss = float(np.mean(distances**2))
    update_json(HERE / "expected.json", "model.keras", {
        "about": "Computed by exportKeras.py with Keras on rows 500 to 599.",
        "test": {"loss": loss, "rmse": loss**0.5, "mae": float(distances.mean())},
        "particles": {"particles": 4, "weighted_sum": 1},
    })


if __name__ == "__main__":
    main()
