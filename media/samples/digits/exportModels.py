"""Puts the trained weights of model.pt into every other format and checks that all of them agree.

Writes model.onnx, model.keras, tfjs/ (through saveTfjs.mts, that TensorFlow.js itself saves it) and
expected.json, the numbers that tests compare with. Fails when a format's outputs on the test images
differ from PyTorch's by more than 1e-5 of the largest, or its accuracy differs at all.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import onnx
import onnxruntime
import torch
from torch.nn import functional as F

import digits_keras
import digits_torch
from train import TEST, TRAIN, evaluate, load_data

HERE = Path(__file__).parent
LAYERS = ("conv1", "conv2", "dense1", "dense2")
TOLERANCE = 1e-5


def main() -> None:
    torch.set_num_threads(1)
    model = digits_torch.load()
    images, labels = load_data()
    test_images, test_labels = images[TEST], labels[TEST]
    with torch.no_grad():
        logits = model(test_images).numpy()
    weights = channels_last_weights(model)

    outputs = {
        "model.onnx": save_onnx(model, test_images),
        "model.keras": save_keras(weights, test_images),
        "tfjs/model.json": save_tfjs(weights, test_images),
    }
    accuracy = {"model.pt": accuracy_of(logits, test_labels)}
    for name, output in outputs.items():
        reference = logits if name == "model.onnx" else softmax(logits)
        error = np.abs(output - reference).max() / np.abs(reference).max()
        accuracy[name] = accuracy_of(output, test_labels)
        print(f"{name}: accuracy {accuracy[name]:.6f}, relative error {error:.1e}")
        assert error <= TOLERANCE and accuracy[name] == accuracy["model.pt"], name
    write_expected(model, images, labels, logits, accuracy)


def channels_last_weights(model: torch.nn.Module) -> dict[str, list[np.ndarray]]:
    """[kernel, bias] by layer, as Keras and TensorFlow.js lay them out."""
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    weights = {}
    for layer in LAYERS:
        kernel = state[f"{layer}.weight"]
        if kernel.ndim == 4:
            kernel = kernel.transpose(2, 3, 1, 0)  # [out, in, h, w] -> [h, w, in, out]
        elif layer == "dense1":
            # PyTorch flattens channel by channel, the others pixel by pixel.
            width = kernel.shape[0]
            kernel = kernel.reshape(width, -1, 4, 4).transpose(2, 3, 1, 0).reshape(-1, width)
        else:
            kernel = kernel.T
        weights[layer] = [np.ascontiguousarray(kernel), state[f"{layer}.bias"]]
    return weights


def save_onnx(model: torch.nn.Module, images: torch.Tensor) -> np.ndarray:
    """Logits [N, 10] of ONNX Runtime."""
    path = HERE / "model.onnx"
    torch.onnx.export(
        model,
        (images[:1],),
        path,
        dynamo=False,
        opset_version=17,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
    )
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"image": images.numpy()})[0]


def save_keras(weights: dict[str, list[np.ndarray]], images: torch.Tensor) -> np.ndarray:
    """Probabilities [N, 10] of the saved file, loaded into the definition."""
    model = digits_keras.build_model()
    for layer, arrays in weights.items():
        model.get_layer(layer).set_weights(arrays)
    model.save(HERE / "model.keras")
    keras.backend.clear_session()
    return digits_keras.load().predict(channels_last(images), verbose=0)


def save_tfjs(weights: dict[str, list[np.ndarray]], images: torch.Tensor) -> np.ndarray:
    """Probabilities [N, 10] of the saved files, loaded into the definition by TensorFlow.js."""
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder, "given.json"), Path(folder, "answer.json")
        given.write_text(json.dumps({
            "weights": {
                layer: [{"shape": array.shape, "values": array.ravel().tolist()} for array in arrays]
                for layer, arrays in weights.items()
            },
            "images": channels_last(images).tolist(),
        }))
        subprocess.run(["npx", "tsx", "saveTfjs.mts", given, answer], cwd=HERE, check=True)
        return np.array(json.loads(answer.read_text()))


def write_expected(model, images, labels, logits, accuracy) -> None:
    """What PyTorch computes, for tests of programs that read the models."""
    train_loss, train_accuracy = evaluate(model, images[TRAIN], labels[TRAIN])
    test_loss, test_accuracy = evaluate(model, images[TEST], labels[TEST])
    expected = {
        "about": "Computed by exportModels.py with PyTorch; test rows are those of the recipe's split.",
        "accuracy": accuracy,
        "train": {"loss": train_loss, "accuracy": train_accuracy},
        "test": {"loss": test_loss, "accuracy": test_accuracy},
        "firstTestLabels": labels[TEST][:4].tolist(),
        "firstTestLogits": logits[:4].tolist(),
        "particles": {layer: particle_numbers(model, layer, images[TEST], labels[TEST]) for layer in LAYERS},
    }
    (HERE / "expected.json").write_text(dump(expected) + "\n")


@torch.no_grad()
def particle_numbers(model, layer, images, labels) -> dict[str, list[float]]:
    """By particle of a layer: L2 norm of its weights without bias, mean activation (after the ReLU, over
    test images and positions), and the change of test loss and accuracy when its activation is set to 0."""
    module = getattr(model, layer)
    activate = F.relu if layer != "dense2" else lambda x: x
    activations = []
    handle = module.register_forward_hook(lambda _, __, out: activations.append(activate(out)))
    loss, accuracy = evaluate(model, images, labels)
    handle.remove()
    numbers = {
        "l2": module.weight.flatten(1).norm(dim=1).tolist(),
        "activationMean": activations[0].transpose(0, 1).flatten(1).double().mean(1).tolist(),
        "ablationLossChange": [],
        "ablationAccuracyChange": [],
    }
    for particle in range(module.weight.shape[0]):
        handle = module.register_forward_hook(lambda _, __, out: without(out, particle))
        cut_loss, cut_accuracy = evaluate(model, images, labels)
        handle.remove()
        numbers["ablationLossChange"].append(cut_loss - loss)
        numbers["ablationAccuracyChange"].append(cut_accuracy - accuracy)
    return numbers


def without(out: torch.Tensor, particle: int) -> torch.Tensor:
    cut = out.clone()
    cut[:, particle] = 0
    return cut


def channels_last(images: torch.Tensor) -> np.ndarray:
    return images.numpy().transpose(0, 2, 3, 1)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def accuracy_of(outputs: np.ndarray, labels: torch.Tensor) -> float:
    return float(np.mean(outputs.argmax(1) == labels.numpy()))


def dump(value, indent="") -> str:
    """JSON with one line for each list of numbers, floats to 9 digits (all that a float32 holds)."""
    if isinstance(value, dict):
        inner = indent + "  "
        lines = [f"{inner}{json.dumps(key)}: {dump(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list):
        return "[" + ", ".join(dump(item, indent) for item in value) + "]"
    return f"{value:.9g}" if isinstance(value, float) else json.dumps(value)


if __name__ == "__main__":
    main()
