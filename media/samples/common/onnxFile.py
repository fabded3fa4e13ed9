"""Exports a PyTorch model to ONNX the way it is shared: open batch size, nothing of the machine that made it."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch


def export_onnx(model: torch.nn.Module, path: Path, inputs: dict[str, torch.Tensor], output: str, dynamo: bool) -> np.ndarray:
    """Writes the file, checks ONNX Runtime against PyTorch (1e-4 of the largest) and returns ONNX Runtime's output.

    dynamo: by torch.export, as newer code does; else by tracing.
    """
    model = model.eval()
    # Exported with two samples and run with all: a batch size frozen on the way would show.
    example = tuple(value[:2] for value in inputs.values())
    names = list(inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            batch = torch.export.Dim("batch", min=1, max=2**16)
            program = torch.onnx.export(
                model, example, dynamo=True, opset_version=18, verbose=False, input_names=names, output_names=[output],
                dynamic_shapes=tuple({0: batch} for _ in names),
            )
            proto = program.model_proto
        else:
            torch.onnx.export(
                model, example, path, dynamo=False, opset_version=17, input_names=names, output_names=[output],
                dynamic_axes={name: {0: "batch"} for name in (*names, output)},
            )
            proto = onnx.load(path)
    forget_origin(proto)
    onnx.save(proto, path)
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {name: value.numpy() for name, value in inputs.items()}
    result = session.run([output], given)[0]
    with torch.no_grad():
        reference = model(*inputs.values()).numpy()
    error = np.abs(result - reference).max() / np.abs(reference).max()
    print(f"{path.name}: {path.stat().st_size} bytes, relative error {error:.1e}")
    assert error <= 1e-4, path.name
    return result


def forget_origin(proto: onnx.ModelProto) -> None:
    """torch.export notes at every node which line of which file it came from, with the whole path."""
    for entry in (proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        kept = [prop for prop in entry.metadata_props if prop.key == "pkg.torch.onnx.name_scopes"]
        del entry.metadata_props[:]
        entry.metadata_props.extend(kept)
        entry.doc_string = ""
    del proto.metadata_props[:]
    assert not proto.functions, "a function's nodes would have notes as well"
