"""Open and run ONNX files. These functions run in a child process; neither torch nor code from the file runs.

Weights may lie in other files ("external data"). Only files in the folder of the ONNX file are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import ExplorerError, in_brief

DAMAGED = "is truncated or damaged, or not an ONNX file: download or export it again"
NEEDED = "ONNX files need the packages onnx and onnxruntime: pip install 'earth-mae-explorer[onnx]'."
MAX_THREADS = 16

_open: dict[str, Any] = {}
"""The session of the file that this process has open."""


def parts_beside(path: Path) -> tuple[Path, ...]:
    """Files beside an ONNX file that may hold its weights, by the names that exporters give them."""
    beside = (path.with_name(path.name + ending) for ending in (".data", "_data"))
    return tuple(file for file in beside if file.is_file())


def described(path: str) -> dict[str, Any]:
    """Inputs and outputs as [name, type, sizes], a size None where it is free, and the file's metadata.

    Raises ExplorerError for what is not an ONNX file, or reads files outside its folder.
    """
    _require_safe(Path(path))
    session = _session(path, 1)
    return {
        "inputs": [_value(each) for each in session.get_inputs()],
        "outputs": [_value(each) for each in session.get_outputs()],
        "metadata": dict(session.get_modelmeta().custom_metadata_map),
    }


def run(path: str, threads: int, arrays: dict[str, Any], output: str) -> Any:
    """The named output for named arrays."""
    return _session(path, threads).run([output], arrays)[0]


def _session(path: str, threads: int) -> Any:
    try:
        import onnxruntime as ort  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ExplorerError(NEEDED) from None
    if _open.get("path") != (path, threads):
        options = ort.SessionOptions()
        options.intra_op_num_threads = min(threads, MAX_THREADS)
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except MemoryError:
            raise
        except Exception as problem:
            raise ExplorerError(
                f"{Path(path).name} cannot be run by ONNX Runtime ({in_brief(problem, 160)})."
            ) from problem
        _open.clear()
        _open.update(path=(path, threads), session=session)
    return _open["session"]


def _value(each: Any) -> list[Any]:
    return [each.name, each.type, [size if isinstance(size, int) else None for size in each.shape]]


def _require_safe(path: Path) -> None:
    """Raise ExplorerError for a damaged file, and for external data outside the file's folder."""
    try:
        import onnx  # pyright: ignore[reportMissingImports]
        from google.protobuf.message import DecodeError
    except ImportError:
        raise ExplorerError(NEEDED) from None
    try:
        model = onnx.load_model(path, load_external_data=False)
    except (DecodeError, ValueError, OSError) as problem:
        raise ExplorerError(f"{path.name} {DAMAGED}.") from problem
    if not model.graph.node or not model.graph.output:
        raise ExplorerError(f"{path.name} {DAMAGED}.")
    folder = path.parent.resolve()
    for tensor in _tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        place = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
        found = (folder / place).resolve()
        if not place or not found.is_relative_to(folder) or found == folder:
            raise ExplorerError(
                f"{path.name} reads weights from {place!r:.80}, outside its own folder: "
                "save it with its weights inside, or in a file beside it."
            )
        if not found.is_file():
            raise ExplorerError(
                f"{path.name} keeps its weights in {place!r:.80}, which is not beside it: "
                "put both files into one folder, or save it with its weights inside."
            )


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor of a model: initialisers and constants of its graph, its functions and their subgraphs."""
    waiting: list[Any] = [model.graph, *model.functions]
    while waiting:
        part = waiting.pop()
        yield from getattr(part, "initializer", ())
        for sparse in getattr(part, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for node in part.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
                if attribute.HasField("g"):
                    waiting.append(attribute.g)
                waiting.extend(attribute.graphs)
