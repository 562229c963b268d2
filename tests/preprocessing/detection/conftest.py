"""A YOLO detector of a few nodes, made by hand, whose answer can be worked out on paper."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

Prediction = tuple[float, float, float, float, int]
"""Centre x, centre y, width, height in pixels of the 64×64 network input, and class index."""


def write_detector(path: Path, names: Sequence[str], predictions: Sequence[Prediction], size: int = 64) -> Path:
    """ONNX in ultralytics' layout, output 1×(4 + classes)×predictions; confidence is the mean of the red channel."""
    from onnx import TensorProto, helper, numpy_helper, save

    boxes = np.zeros((1, 4 + len(names), len(predictions)), np.float32)
    scores = np.zeros_like(boxes)
    for index, (x, y, width, height, label) in enumerate(predictions):
        boxes[0, :4, index] = (x, y, width, height)
        scores[0, 4 + label, index] = 1 - 0.1 * index
    constants = {
        "boxes": boxes,
        "scores": scores,
        "first": np.array([0]),
        "second": np.array([1]),
        "axis": np.array([1]),
        "all": np.array([1, 2, 3]),
        "shape": np.array([1, 1, 1]),
    }
    nodes = [
        helper.make_node("Slice", ["images", "first", "second", "axis"], ["red"]),
        helper.make_node("ReduceMean", ["red", "all"], ["mean"]),
        helper.make_node("Reshape", ["mean", "shape"], ["confidence"]),
        helper.make_node("Mul", ["scores", "confidence"], ["weighted"]),
        helper.make_node("Add", ["weighted", "boxes"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "by hand",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, list(boxes.shape))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    stored = {"names": dict(enumerate(names)), "imgsz": [size, size], "task": "detect", "stride": 32, "batch": 1}
    for key, value in stored.items():
        model.metadata_props.add(key=key, value=str(value))
    save(model, str(path))
    return path


@pytest.fixture
def detector_file(tmp_path: Path):
    def write(names: Sequence[str], predictions: Sequence[Prediction]) -> Path:
        return write_detector(tmp_path / "hand.onnx", names, predictions)

    return write
