"""ONNX files: weights in other files are found wherever the format mentions them; nothing else runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import ExplorerError
from core.untrusted.onnx_file import described

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")
helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT


def outside(name: str = "w") -> Any:
    """A tensor whose numbers lie in a file above the folder."""
    tensor = helper.make_tensor(name, FLOAT, [1], [0.0])
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")
    return tensor


def value(name: str) -> Any:
    return helper.make_tensor_value_info(name, FLOAT, [1])


def constant(output: str = "y") -> Any:
    return helper.make_node("Constant", [], [output], value=outside())


def graph(*nodes: Any, **more: Any) -> Any:
    return helper.make_graph(nodes or [helper.make_node("Neg", ["x"], ["y"])], "g", [], [value("y")], **more)


def inner() -> Any:
    return helper.make_graph([constant("z")], "inner", [], [value("z")])


def with_graph() -> Any:
    return graph(helper.make_node("If", ["x"], ["y"], then_branch=inner(), else_branch=inner()))


def with_lists(**attribute: Any) -> Any:
    return graph(helper.make_node("Odd", ["x"], ["y"], **attribute))


def with_sparse(*, values: bool) -> Any:
    index = helper.make_tensor("i", onnx.TensorProto.INT64, [1], [0])
    plain = helper.make_tensor("w", FLOAT, [1], [1.0])
    sparse = onnx.SparseTensorProto(values=outside() if values else plain, dims=[4])
    sparse.indices.CopyFrom(index if values else outside("i"))
    return graph(sparse_initializer=[sparse])


def in_function() -> Any:
    made = helper.make_function(
        "own", "F", [], ["y"], [constant()], [helper.make_opsetid("", 17)], attributes=[]
    )
    return helper.make_model(graph(helper.make_node("F", [], ["y"], domain="own")), functions=[made])


HIDDEN: dict[str, Callable[[], Any]] = {
    "an initialiser": lambda: graph(initializer=[outside()]),
    "a constant": lambda: graph(constant()),
    "a branch": with_graph,
    "a list of tensors": lambda: with_lists(many=[outside()]),
    "a list of graphs": lambda: with_lists(many=[inner()]),
    "values of a sparse tensor": lambda: with_sparse(values=True),
    "places of a sparse tensor": lambda: with_sparse(values=False),
    "a function": in_function,
}


def saved(folder: Path, made: Any) -> str:
    model = made if isinstance(made, onnx.ModelProto) else helper.make_model(made)
    path = folder / "mine.onnx"
    path.write_bytes(model.SerializeToString())
    return str(path)


@pytest.mark.parametrize("place", HIDDEN)
def test_weights_outside_the_folder_are_found_wherever_they_are_mentioned(place: str, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(4))
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(ExplorerError, match="outside its own folder"):
        described(saved(folder, HIDDEN[place]()))


def test_a_tensor_that_names_no_file_is_refused(tmp_path: Path) -> None:
    tensor = outside()
    tensor.ClearField("external_data")
    with pytest.raises(ExplorerError, match="reads weights from '', outside"):
        described(saved(tmp_path, graph(initializer=[tensor])))


@pytest.mark.parametrize(
    "made",
    [
        helper.make_graph([], "g", [], [value("y")], [helper.make_tensor("y", FLOAT, [1], [0.0])]),
        helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [value("x")], []),
    ],
    ids=["no nodes", "no outputs"],
)
def test_an_empty_graph_is_refused(made: Any, tmp_path: Path) -> None:
    with pytest.raises(ExplorerError, match="not an ONNX file"):
        described(saved(tmp_path, made))


def test_an_unknown_operator_is_reported(tmp_path: Path) -> None:
    made = helper.make_graph([helper.make_node("Odd", ["x"], ["y"])], "g", [value("x")], [value("y")])
    with pytest.raises(ExplorerError, match="cannot be run by ONNX Runtime"):
        described(saved(tmp_path, made))
