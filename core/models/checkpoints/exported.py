"""Open and run programs of torch.export (.pt2). These functions run in a child process.

torch finds the functions that such a file names anywhere in torch, evaluates its sizes with sympy, writes its
names into Python code that it runs, and unpickles parts of some files. So a file is checked first: it may
call tensor operators only, its texts are plain names, and nothing in it is pickled or compiled.
"""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import ExplorerError, in_brief
from ...untrusted.pickles import PickleError, read_pickle

MAX_JSON_BYTES = 64 * 2**20
TARGETS = re.compile(
    r"torch\.ops\.(aten|prims)\.\w+\.\w+|_operator\.(getitem|add|sub|mul|floordiv|mod|neg|eq|ne|lt|le|gt|ge)"
    r"|torch\.sym_(int|float|max|min|not)|math\.(ceil|floor)|aten::\w+(\.\w+)?"
)
"""Functions that a program may name."""
PLAIN = re.compile(r"[\w.:/+ -]*", re.ASCII)
"""Names of values, of types and of files."""
JSON_INSIDE = ("in_spec", "out_spec", "context")
"""Keys whose text is JSON itself."""
EXPRESSION = re.compile(
    r"(?:Symbol\('[su]\d+'(?:, "
    r"(?:positive|nonnegative|integer)=True)*\)|Integer|Add|Mul|Max|Min|Mod|PythonMod"
    r"|FloorDiv|CeilDiv|True|False|int_oo|[su]\d+|\d+|[ +*/(),-])*"
)
"""Sizes are sums and products of symbols; sympy would evaluate anything."""
GUARD = re.compile(r"(?:L\['\w+'\]\.size\(\)\[\d+\]|\d+|and|or|not|[ <>=!+*/%()-])*", re.ASCII)
"""Conditions on sizes, which torch runs as Python."""
GRAMMARS = {"expr_str": EXPRESSION, "guards_code": GUARD}
DAMAGED = "is truncated or damaged, or not a program of torch.export: export it again"

_open: dict[str, Any] = {}
"""The program of the file that this process has open."""


def described(path: str) -> dict[str, Any]:
    """Inputs and outputs as [name, type, sizes], a size None where it is free.

    Raises ExplorerError for what is not such a program, or more than one.
    """
    _require_safe(Path(path))
    signature = _program(path)
    nodes = {node.name: node for node in signature.graph.nodes}
    return {
        "inputs": [_value(nodes[name]) for name in signature.graph_signature.user_inputs],
        "outputs": [_value(nodes[name]) for name in signature.graph_signature.user_outputs if name in nodes],
        "metadata": {},
    }


def run(path: str, threads: int, arrays: dict[str, Any], output: str) -> Any:
    """The named output for arrays in the order of the inputs."""
    import torch

    program = _program(path)
    torch.set_num_threads(threads)
    names = [name for name in program.graph_signature.user_outputs if isinstance(name, str)]
    if "module" not in _open:
        _open["module"] = program.module()
    with torch.inference_mode():
        found = _open["module"](*(torch.from_numpy(array) for array in arrays.values()))
    flat = list(found) if isinstance(found, tuple | list) else [found]
    return flat[names.index(output)].float().numpy()


def _value(node: Any) -> list[Any]:
    held = node.meta.get("val")
    sizes = [size if isinstance(size, int) else None for size in getattr(held, "shape", ())]
    return [node.name, str(getattr(held, "dtype", "")), sizes]


def _program(path: str) -> Any:
    if _open.get("path") != path:
        import torch

        tempfile.tempdir = (
            tempfile.tempdir or os.sep
        )  # torch asks for it; this process may write no file anywhere
        try:
            program = torch.export.load(path)
        except MemoryError:
            raise
        except Exception as problem:
            raise ExplorerError(
                f"{Path(path).name} cannot be loaded by torch {torch.__version__} "
                f"({in_brief(problem, 160)}): export it again with this version."
            ) from problem
        _open.clear()
        _open.update(path=path, program=program)
    return _open["program"]


def _require_safe(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            if sum(record.file_size for record in records) > path.stat().st_size:
                raise ExplorerError(f"{path.name} declares more data than it contains: do not trust it.")
            programs = [r for r in records if re.search(r"(^|/)models/[^/]+\.json$", r.filename)]
            if len(programs) != 1:
                raise ExplorerError(f"{path.name} holds {len(programs)} programs: export one network.")
            for record in records:
                _check_record(path.name, archive, record)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RecursionError) as problem:
        raise ExplorerError(f"{path.name} {DAMAGED}.") from problem


def _check_record(name: str, archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> None:
    place = record.filename
    if "aotinductor" in place or re.search(r"\.(so|cpp|cubin|pyd|dll|dylib)$", place):
        raise ExplorerError(f"{name} holds compiled code, which is not run: save it with torch.export.save.")
    if re.search(r"/(weights|constants)/[^/]*\.pt$|(custom_obj|opaque_obj)_", place):
        raise ExplorerError(
            f"{name} holds pickled objects, which are not opened: "
            "export it again with a recent version of torch."
        )
    if re.search(r"/sample_inputs/", place) and record.file_size:
        _check_sample(name, archive.read(record))
    if not place.endswith(".json"):
        return
    if record.file_size > MAX_JSON_BYTES:
        raise ExplorerError(f"{name} describes a program of {record.file_size} bytes: export one network.")
    for key, text in _entries(json.loads(archive.read(record))):
        if key == "use_pickle" and text:
            raise ExplorerError(f"{name} holds pickled weights, which are not opened: export it again.")
        if not isinstance(text, str) or key in JSON_INSIDE:
            continue
        if key == "target" and not TARGETS.fullmatch(text):
            raise ExplorerError(
                f"{name} calls {text!r:.80}, which is not a tensor operator of torch: nothing was run."
            )
        if not GRAMMARS.get(key, PLAIN).fullmatch(text):
            raise ExplorerError(f"{name} contains {text!r:.80}, which is not a plain name: nothing was run.")


def _check_sample(name: str, content: bytes) -> None:
    """Refuse a pickled sample of the inputs that is more than tensors."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for record in archive.namelist():
                if record.endswith("data.pkl"):
                    read_pickle(io.BytesIO(archive.read(record)))
    except (zipfile.BadZipFile, PickleError) as problem:
        raise ExplorerError(
            f"{name} holds a sample of its inputs that is more than tensors ({problem!s:.80}): "
            "export it without one."
        ) from problem


def _entries(document: Any) -> Iterator[tuple[str, Any]]:
    """Every value of a document with the key that it stands under, and every key as a value.

    Free text about the program's source is left out: torch shows it and does not run it.
    """
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        key, value = waiting.pop()
        yield key, value
        if isinstance(value, dict):
            waiting += [("", name) for name in value]
            waiting += [(name, each) for name, each in value.items() if name != "metadata"]
        elif isinstance(value, list):
            waiting += [(key, each) for each in value]
        elif key in JSON_INSIDE and isinstance(value, str):
            waiting.append(("", json.loads(value)))
