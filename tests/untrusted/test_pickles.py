"""The pickle interpreter refuses everything that weights do not need, with a reason for each."""

from __future__ import annotations

import io

import pytest

from core.untrusted import pickles
from core.untrusted.pickles import GlobalRefusedError, PickleError, Storage, TensorClaim, read_pickle
from tests.untrusted.torch_pickles import program, row, storage, table, tensor, text, whole


def read(body: bytes) -> object:
    return read_pickle(io.BytesIO(program(body)))


def test_a_table_of_tensors_is_read() -> None:
    claim = TensorClaim(Storage("float32", "0", 4), 0, (2, 2), (2, 1))
    assert read(table(w=tensor(), n=whole(-3))) == {"w": claim, "n": -3}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"})K\x01s", "neither strings nor integers"),
        (b"}" + whole(2**60) + b"K\x01s", "neither strings nor integers"),
        (b"}(" + row(text("a")) + b"K\x01u", "neither strings nor integers"),
        (tensor(offset=-1), "invalid sizes"),
        (tensor(offset=2**48), "invalid sizes"),
        (tensor(shape=(2, -2)), "invalid sizes"),
        (tensor(held=storage("FloatStorage", "0", b"\x88")), "invalid sizes"),
        (tensor(shape=[1] * 17), "invalid shape"),
        (tensor(held=storage("FloatStorage", "0", whole(4), row(whole(1)))), "obsolete way"),
        (b"\x82\x01", "instruction EXT1"),
        (b"(ios\nsystem\n", "instruction INST"),
        (b"\x8f(K\x01\x90\x91", "instruction FROZENSET"),
        (b"}(K\x01u", "truncated or damaged"),
        (b"}K\x01a", "truncated or damaged"),
        (b"]K\x01K\x02s", "truncated or damaged"),
        (b"K\x01\x86", "truncated or damaged"),
        (b"K\x01)R", "truncated or damaged"),
        (b"ctorch\nSize\nK\x01R", "truncated or damaged"),
        (b"h\x07", "truncated or damaged"),
        (b"t", "truncated or damaged"),
        (b"", "truncated or damaged"),
        (b"NQ", "truncated or damaged"),
        (row(text("other"), *[b"N"] * 4) + b"Q", "truncated or damaged"),
        (row(text("storage"), *[text("x")] * 3, whole(1)) + b"Q", "truncated or damaged"),
        (row(text("storage")) + b"Q", "truncated or damaged"),
        (storage("FloatStorage").replace(b"storage", b"sturage"), "truncated or damaged"),
        (storage("FloatStorage", "0", whole(4), b"N" * 2), "truncated or damaged"),
        (tensor(held=storage("FloatStorage", "0", b"G" + bytes(8))), "invalid sizes"),
    ],
)
def test_what_weights_do_not_need_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(PickleError, match=why):
        read(body)


@pytest.mark.parametrize(
    "name",
    ["os\nsystem", "builtins\neval", "torch\nload", "torch.cuda\nload", "evil\nFloatStorage", "torch\nFloat"],
)
def test_a_name_that_is_not_known_is_refused_before_anything_is_called(name: str) -> None:
    with pytest.raises(GlobalRefusedError, match=name.replace("\n", r"\.")):
        read(f"c{name}\n".encode())


def test_a_storage_without_a_view_is_read() -> None:
    assert read(storage("FloatStorage", "0", whole(4), b"N")) == Storage("float32", "0", 4)


def test_texts_are_bounded() -> None:
    found = read(table(p=b"cpathlib\nPosixPath\n" + row(text("a" * 9000)) + b"R"))
    assert found == {"p": "a" * 4096}
    claim = read(tensor(held=storage("FloatStorage", "k" * 9000)))
    assert isinstance(claim, TensorClaim) and len(claim.storage.key) == 200


def test_instructions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_INSTRUCTIONS", 50)
    assert read(b"N0" * 20 + b"N") is None
    with pytest.raises(PickleError, match="more than any weights file"):
        read(b"N0" * 30 + b"N")


def test_a_pickle_without_end_is_truncated() -> None:
    with pytest.raises(PickleError, match="truncated"):
        read_pickle(io.BytesIO(b"\x80\x02N"))
