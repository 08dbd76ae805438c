"""The claims of a weights file are compared with its bytes, one by one and without torch."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from core.errors import ExplorerError
from core.untrusted import tensors
from tests.hostile_files import safetensors, torch_zip, zipped
from tests.untrusted.torch_pickles import program, storage, table, tensor, text, whole

DATA = {"data/0": bytes(16)}
ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


@pytest.fixture
def listed(tmp_path: Path) -> Any:
    """List a file with this content, in this process."""

    def run(content: bytes) -> dict[str, Any]:
        path = tmp_path / "w.pth"
        path.write_bytes(content)
        return tensors.listed(str(path))

    return run


def legacy(payload: bytes, key: bytes = text("0"), count: int = 4) -> bytes:
    head = MAGIC + program(b"M\xe9\x03") + program(b"}") + program(payload)
    return head + program(b"]" + key + b"a") + struct.pack("<q", count) + bytes(16)


def test_a_file_of_each_format_is_listed(listed: Any) -> None:
    place = ["w", "float32", [2, 2], [2, 1]]
    assert listed(torch_zip(program(table(w=tensor())), **DATA))["tensors"][0][:4] == place
    assert listed(legacy(table(w=tensor())))["tensors"][0][:4] == place
    found = listed(safetensors({"w": ENTRY, "__metadata__": {"a": "b", "a b": "c"}}, bytes(8)))
    assert found["tensors"][0][:3] == ["w", "float32", [2]]
    assert found["metadata"] == {"a": "b"}


TORCH = {
    "a TorchScript program": (torch_zip(program(b"}"), **{"constants.pkl": b""}), "TorchScript program"),
    "code": (torch_zip(program(b"}"), **{"code/x.py": b""}), "TorchScript program"),
    "two pickles": (zipped({"a/data.pkl": program(b"}"), "b/data.pkl": program(b"}")}), "not a PyTorch file"),
    "packed records": (
        zipped({"archive/data.pkl": program(table(w=tensor())), "archive/data/0": b"16 random bytes."},
        zipfile.ZIP_DEFLATED), "truncated or damaged",
    ),
    "the other byte order": (
        torch_zip(program(table(w=tensor())), **DATA, byteorder=b"big"), "truncated or damaged"
    ),
    "a zip of nothing": (b"PK\x03\x04" + bytes(60), r"truncated or damaged \("),
    "an unknown dtype": (
        torch_zip(program(table(w=tensor(held=storage("QInt8Storage")))), **DATA), "in an unsupported form"
    ),
    "a number": (torch_zip(program(table(w=tensor(), n=whole(1))), **DATA), "'n', which is not a tensor"),
    "a tensor alone": (torch_zip(program(tensor()), **DATA), "contains a tensor rather than named tensors"),
    "a list": (torch_zip(program(b"]" + tensor() + b"a"), **DATA), "contains a list rather than"),
    "a tensor named by a number": (
        torch_zip(program(b"}" + whole(1) + tensor() + b"s"), **DATA), "'1', which is not a tensor"
    ),
    "a quantised tensor": (
        torch_zip(program(table(w=b"ctorch._utils\n_rebuild_qtensor\n)R")), **DATA), "in an unsupported form"
    ),
    "fewer strides": (torch_zip(program(table(w=tensor(stride=(1,)))), **DATA), "truncated or damaged"),
    "beyond its storage": (torch_zip(program(table(w=tensor(offset=1))), **DATA), "truncated or damaged"),
    "long strides": (torch_zip(program(table(w=tensor(stride=(3, 1)))), **DATA), "truncated or damaged"),
    "one number many times": (
        torch_zip(program(table(w=tensor((4, 4), (0, 0)))), **DATA), r"declares the shape \(4, 4\)"
    ),
    "an absent storage": (torch_zip(program(table(w=tensor()))), "truncated or damaged"),
    "old, fewer numbers than none": (legacy(table(w=tensor()), count=-1), "truncated or damaged"),
    "old, cut": (legacy(table(w=tensor()))[:-20], "truncated or damaged"),
    "old, a table of itself": (legacy(b"}q\0" + text("a") + b"h\0s"), "no named tensors|is not a tensor"),
}  # fmt: skip


@pytest.mark.parametrize("name", TORCH)
def test_a_file_of_torch_that_lies_is_refused(name: str, listed: Any) -> None:
    content, why = TORCH[name]
    with pytest.raises(ExplorerError, match=why):
        listed(content)


def test_records_of_a_zip_are_bounded(listed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    many = {f"data/{n}": b"" for n in range(10)}
    content = torch_zip(program(table(w=tensor())), **DATA, **{key: b"x" for key in many if key != "data/0"})
    assert listed(content)
    with monkeypatch.context() as patch:
        patch.setattr(tensors, "MAX_TENSORS", 4)
        with pytest.raises(ExplorerError, match="declares more data"):
            listed(content)
    monkeypatch.setattr(tensors, "MAX_HEADER_BYTES", 20)
    with pytest.raises(ExplorerError, match="truncated or damaged"):
        listed(content)
    bomb = zipped({"archive/data.pkl": program(b"}"), "archive/data/0": bytes(9999)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ExplorerError, match="declares more data"):
        listed(bomb)


def test_arguments_are_plain_and_bounded(listed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = text("deep")
    for _ in range(12):
        deep = b"]" + deep + b"a"
    arguments = table(long=text("a" * 9000), large=whole(2**70), deep=deep, n=whole(3), odd=b"ctorch\nSize\n")
    ignored = {f"{n}" + "k" * 200: b"N" for n in range(150)}
    content = torch_zip(program(table(model=table(w=tensor()), args=arguments, **ignored)), **DATA)
    found = listed(content)
    assert found["args"]["long"] == "a" * 4096 and found["args"]["n"] == 3
    assert found["args"]["large"] is None and found["args"]["odd"] is None
    level, depth = found["args"]["deep"], 1
    while isinstance(level, list) and level:
        level, depth = level[0], depth + 1
    assert level is None and depth <= tensors.MAX_DEPTH + 1
    assert len(found["ignored"]) == 100 and max(map(len, found["ignored"])) == 100
    monkeypatch.setattr(tensors, "MAX_ARGUMENTS", 10)
    with pytest.raises(ExplorerError, match="truncated or damaged"):
        listed(content)


SAFE = {
    "a header of 4 EB": (safetensors(b'{"a":1}', length=2**62), "declares a header of 4611686018427387904"),
    "metadata that is no text": (safetensors({"w": ENTRY, "__metadata__": {"a": 1}}, bytes(8)), "damaged"),
    "an unknown dtype": (safetensors({"w": ENTRY | {"dtype": "F4"}}, bytes(8)), "not floating-point"),
    "half a number": (safetensors({"w": ENTRY | {"shape": [2.0]}}, bytes(8)), "damaged"),
    "fewer than none": (safetensors({"w": ENTRY | {"shape": [-1, -2]}}, bytes(8)), "damaged"),
    "too many sides": (safetensors({"w": ENTRY | {"shape": [2] + [1] * 16}}, bytes(8)), "damaged"),
    "a gap": (safetensors({"w": ENTRY | {"data_offsets": [4, 12]}}, bytes(12)), "damaged"),
    "another size": (safetensors({"w": ENTRY | {"shape": [3]}}, bytes(8)), "damaged"),
    "bytes behind": (safetensors({"w": ENTRY}, bytes(12)), "damaged"),
    "no tensors": (safetensors({}), "no named tensors"),
    "no JSON": (safetensors(b"{" * 99), "damaged"),
}


@pytest.mark.parametrize("name", SAFE)
def test_a_safetensors_file_that_lies_is_refused(name: str, listed: Any) -> None:
    content, why = SAFE[name]
    with pytest.raises(ExplorerError, match=why):
        listed(content)


def test_the_header_of_a_safetensors_file_is_bounded(listed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "MAX_HEADER_BYTES", 20)
    with pytest.raises(ExplorerError, match="declares a header of"):
        listed(safetensors({"w": ENTRY}, bytes(8)))


@pytest.mark.parametrize(
    "entry",
    [
        ["w", "float32", [2], [1], 10],
        ["w", "float32", [2], [9], 0],
        ["w", "float32", [2], [1], -4],
        ["w", "float32", [-2], [1], 0],
        ["w", "float32", [3, 2], [-1, 1], 0],
        ["w", "float99", [1], [1], 0],
    ],
)
def test_a_child_that_was_taken_over_is_not_believed(
    entry: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(bytes(16))
    answer: dict[str, Any] = {"args": {}, "ignored": [], "metadata": {}}
    monkeypatch.setattr(
        tensors, "call", lambda *_, **__: {**answer, "tensors": [["w", "float32", [4], [1], 0]]}
    )
    assert tensors.listing(path, ExplorerError).tensors[0].count == 4
    monkeypatch.setattr(tensors, "call", lambda *_, **__: {**answer, "tensors": [entry]})
    with pytest.raises(ExplorerError, match="truncated or damaged"):
        tensors.listing(path, ExplorerError)
