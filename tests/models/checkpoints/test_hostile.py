"""Hostile weights: each file is refused with a clear error, runs no code and allocates nothing large."""

from __future__ import annotations

import json
import os
import pickle
import resource
import struct
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from core.errors import ExplorerError
from core.models import create, load_checkpoint
from core.models.checkpoints import files
from core.models.checkpoints.loading import CheckpointError

SIZES: dict[str, Any] = {
    "img_size": 32,
    "patch_size": 16,
    "embed_dim": 64,
    "depth": 2,
    "num_heads": 1,
    "fcn_dim": 8,
    "fcn_layers": 1,
}
SIZES |= {"decoder_embed_dim": 32, "decoder_depth": 1, "decoder_num_heads": 1}


def scale_mae(**changes: Tensor | None) -> dict[str, Tensor]:
    state = create("scale_mae", **SIZES).state_dict()
    return {
        key: tensor
        for key, tensor in {**state, **{key.replace("__", "."): t for key, t in changes.items()}}.items()
        if tensor is not None
    }


class Runs:
    """Pickles to a call of `function`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def torch_file(path: Path, payload: Any) -> None:
    torch.save(payload, path)


def header(entries: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


def cut(path: Path, to: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * to)])


def truncated_zip(path: Path) -> None:
    torch_file(path, scale_mae())
    cut(path, 0.6)


def truncated_legacy(path: Path) -> None:
    torch.save(scale_mae(), path, _use_new_zipfile_serialization=False)
    cut(path, 0.6)


def truncated_safetensors(path: Path) -> None:
    save_file(scale_mae(), path)
    cut(path, 0.9)


def zip_bomb(path: Path) -> None:
    """A megabyte that unpacks to a gigabyte: a real checkpoint whose records are compressed."""
    torch.save({"x": torch.zeros(1)}, path)
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in records.items():
            archive.writestr(name, content if "/data/" not in name else bytes(64 * 2**20))


def other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<w/>")


def torchscript(path: Path) -> None:
    torch.jit.script(nn.Linear(2, 2)).save(str(path))


def fewer_numbers_than_claimed(path: Path) -> None:
    torch_file(path, scale_mae(norm__weight=torch.ones(1).expand(64)))


def same_numbers_many_times(path: Path) -> None:
    pool = torch.zeros(1000, 1000)
    torch_file(path, {**scale_mae(), **{f"blocks.0.copy{i}": pool.view(-1)[i:] for i in range(50)}})


def giant_width(path: Path) -> None:
    torch_file(path, scale_mae(cls_token=torch.zeros(1, 1, 300_000)))


def gaps(path: Path) -> None:
    torch_file(
        path,
        {
            key.replace("blocks.1.", "blocks.900000.", 1) if key.startswith("blocks.1.") else key: t
            for key, t in scale_mae().items()
        },
    )


def sparse_giant(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(17 * 2**30)


def wrong_width(path: Path) -> None:
    torch_file(path, scale_mae(decoder_embed__weight=torch.zeros(32, 48)))


def two_loops(path: Path) -> None:
    other = path.with_name("other.pth")
    other.symlink_to(path)
    path.symlink_to(other)


HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a call of os.system": (
        lambda p: torch_file(p, {"model": Runs(os.system, "touch ran")}),
        r"asks to run (os|posix)\.system",
    ),
    "a call of eval": (
        lambda p: torch_file(p, {"model": scale_mae(), "args": Runs(eval, "open('ran', 'w')")}),
        r"asks to run .*eval",
    ),
    "a call in the old format": (
        lambda p: torch.save(
            {"model": Runs(os.system, "touch ran")}, p, _use_new_zipfile_serialization=False
        ),
        r"asks to run (os|posix)\.system",
    ),
    "a bare pickle that runs code": (
        lambda p: p.write_bytes(pickle.dumps(Runs(os.system, "touch ran"))),
        "neither a file of torch",
    ),
    "a whole module": (lambda p: torch_file(p, nn.Linear(2, 2)), r"asks to run torch\.nn"),
    "a truncated zip": (truncated_zip, "truncated or damaged"),
    "a truncated old file": (truncated_legacy, "truncated or damaged"),
    "a truncated safetensors": (truncated_safetensors, "truncated or damaged"),
    "a zip bomb": (zip_bomb, "declares more data than it contains"),
    "another zip": (other_zip, "not a PyTorch file"),
    "a TorchScript program": (torchscript, "TorchScript"),
    "a header bomb": (
        lambda p: p.write_bytes(struct.pack("<Q", 2**62) + b'{"a":' * 100),
        "declares a header of 4611686018427387904 bytes",
    ),
    "a header of 17 MB": (
        lambda p: p.write_bytes(struct.pack("<Q", 17 * 2**20) + b"{" * (18 * 2**20)),
        "declares a header of 17825792 bytes",
    ),
    "a header of nothing but brackets": (
        lambda p: p.write_bytes(struct.pack("<Q", 60_000) + b"{" * 60_000),
        "truncated or damaged",
    ),
    "tensors beyond the file": (
        lambda p: p.write_bytes(
            header({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}})
        ),
        "truncated or damaged",
    ),
    "tensors one upon another": (
        lambda p: p.write_bytes(
            header({k: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for k in "ab"}, bytes(8))
        ),
        "truncated or damaged",
    ),
    "fewer numbers than claimed": (fewer_numbers_than_claimed, "contains less data"),
    "the same numbers many times": (same_numbers_many_times, "more numbers than its"),
    "quantised weights": (
        lambda p: torch_file(p, scale_mae(norm__weight=torch.ones(64, dtype=torch.int8))),
        "int8",
    ),
    "complex weights": (
        lambda p: torch_file(p, scale_mae(norm__weight=torch.ones(64, dtype=torch.complex64))),
        "complex64",
    ),
    "sparse weights": (
        lambda p: torch_file(p, scale_mae(norm__weight=torch.ones(64).to_sparse())),
        "in an unsupported form",
    ),
    "not a number": (
        lambda p: torch_file(p, scale_mae(norm__weight=torch.full((64,), float("nan")))),
        "are not finite",
    ),
    "infinity": (
        lambda p: torch_file(p, scale_mae(norm__bias=torch.full((64,), float("inf")))),
        "are not finite",
    ),
    "a word among tensors": (
        lambda p: torch_file(p, {**scale_mae(), "greeting": "hello"}),
        "'greeting', which is not a tensor",
    ),
    "numbers for names": (lambda p: torch_file(p, {1: torch.zeros(2)}), "'1', which is not a tensor"),
    "a list": (lambda p: torch_file(p, [torch.zeros(2)]), "a list rather than named tensors"),
    "no tensors": (lambda p: torch_file(p, {"epoch": 3}), "no named tensors"),
    "an empty dictionary": (lambda p: torch_file(p, OrderedDict()), "no named tensors"),
    "too many tensors": (
        lambda p: torch_file(p, {str(i): torch.zeros(1) for i in range(300)}),
        "lists 300 tensors",
    ),
    "a text file": (
        lambda p: p.write_text("these are the weights, honestly " * 9),
        "neither a file of torch",
    ),
    "a web page": (lambda p: p.write_text("<!DOCTYPE html><title>404</title>"), "is a web page"),
    "a pointer of Git LFS": (
        lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "Git LFS",
    ),
    "an image": (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(60)), "PNG image"),
    "nothing": (lambda p: p.write_bytes(b""), "is empty"),
    "seven bytes": (lambda p: p.write_bytes(b"weights"), "neither a file of torch"),
    "a folder": (lambda p: p.mkdir(), "folder or device"),
    "a pipe": (lambda p: os.mkfifo(p), "folder or device"),
    "no file": (lambda p: None, "no file called"),
    "links in a circle": (two_loops, "cannot be opened"),
    "17 GiB of nothing": (sparse_giant, "larger than 16 GiB"),
    "a width of 300,000": (giant_width, "beyond any model"),
    "a wrong width": (wrong_width, r"decoder_embed.weight is 32 x 48 where 32 x 64 belongs"),
    "block number 900,000": (gaps, "gaps between its blocks"),
    "missing tensors": (
        lambda p: torch_file(p, scale_mae(decoder_embed__bias=None)),
        r"1 of its tensors are missing \(decoder_embed.bias\)",
    ),
    "another variant": (
        lambda p: torch_file(p, scale_mae(surprise=torch.zeros(3))),
        r"no place for \(surprise\)",
    ),
    "no patches": (
        lambda p: torch_file(p, scale_mae(patch_embed__proj__weight=torch.zeros(64, 3, 0, 0))),
        "patch_embed.proj.weight has the shape",
    ),
    "13 bands": (
        lambda p: torch_file(p, scale_mae(patch_embed__proj__weight=torch.zeros(64, 13, 16, 16))),
        "takes 13 bands",
    ),
    "positions of no square": (
        lambda p: torch_file(p, scale_mae(pos_embed=torch.zeros(1, 8, 64))),
        "not CLS and a square grid",
    ),
    "a flat CLS": (lambda p: torch_file(p, scale_mae(cls_token=torch.zeros(64))), "cls_token has the shape"),
    "TinyMIM with a distillation token": (
        lambda p: torch_file(p, scale_mae(dist_token=torch.zeros(1, 1, 64))),
        "TinyMIM",
    ),
    "projected positions": (
        lambda p: torch_file(p, scale_mae(pos_emb_projection__weight=torch.zeros(2, 2))),
        "projected positions",
    ),
    "many-band SatMAE": (
        lambda p: torch_file(p, scale_mae(channel_embed=torch.zeros(1, 3, 8))),
        "SatMAE for groups",
    ),
    "a piece of Hugging Face's layout": (
        lambda p: torch_file(p, {"vit.encoder.layer.0.output.dense.weight": torch.zeros(2)}),
        "is not a supported network",
    ),
    "a residual network": (
        lambda p: torch_file(p, {"conv1.weight": torch.zeros(2), "fc.bias": torch.zeros(1)}),
        "is not a supported network",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if name == "too many tensors":
        monkeypatch.setattr(files, "MAX_TENSORS", 200)
    make, message = HOSTILE[name]
    path = tmp_path / "weights.pth"
    make(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(ExplorerError, match=message) as answer:
        load_checkpoint(path)

    assert isinstance(answer.value, CheckpointError)
    assert not (tmp_path / "ran").exists(), "code in the file was executed"
    sentence = str(answer.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 500
    assert str(tmp_path) not in sentence
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024, (
        "more than 200 MB were allocated"
    )


def test_an_impossible_file_name_is_reported(tmp_path: Path) -> None:
    for name in ("\0.pth", "x" * 5000):
        with pytest.raises(CheckpointError, match=r"cannot be opened|no file called"):
            load_checkpoint(tmp_path / name)


def test_arguments_are_plain_values_and_touch_no_disk(tmp_path: Path) -> None:
    import argparse
    import pathlib

    arguments = argparse.Namespace(output_dir=pathlib.PosixPath("/etc/passwd"), band_config=[7, 56])
    path = tmp_path / "weights.pth"
    torch_file(path, {"model": scale_mae(), "args": arguments})
    args = files.read_checkpoint(path).args
    assert args == {"output_dir": "/etc/passwd", "band_config": [7, 56]}


def test_threads_can_read_the_same_file(tmp_path: Path) -> None:
    import argparse
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "weights.pth"
    torch_file(path, {"model": scale_mae(), "args": argparse.Namespace(a=1)})
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(lambda _: load_checkpoint(path), range(12)))) == 12


def test_untrusted_safetensors_keep_their_hash(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save(scale_mae()))
    model = load_checkpoint(path)
    assert model.report is not None
    assert model.card.weights is not None
    assert model.card.weights.sha256 == model.report.sha256
    assert len(model.report.sha256) == 64


def stated_sizes(path: Path, **sizes: Any) -> None:
    """A safetensors file whose own recipe claims other sizes than its tensors have."""
    import numpy as np

    state = {key: tensor for key, tensor in scale_mae().items() if "pos_embed" not in key}
    recipe = {
        "family": "scale_mae",
        "sizes": SIZES | sizes,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "default_policy": "native_gsd",
    }
    recipe |= {"res_range": None, "pooling": "cls", "input_px": 32}
    save_file(state, path, {"earth_mae_recipe": json.dumps(recipe)})
    assert np.prod(path.stat().st_size) < 2_000_000


@pytest.mark.parametrize(
    "sizes",
    [
        {"img_size": 4000, "patch_size": 1},
        {"img_size": 20_000, "patch_size": 1},
        {"img_size": 4096, "patch_size": 16},
        {"head_scale": 4000},
        {"band_config": [20_000, 20_000]},
        {"decoder_depth": 10**9},
        {"embed_dim": 2**62},
        {"patch_size": 0},
        {"img_size": 0},
    ],
    ids=str,
)
def test_sizes_are_bounded_before_anything_is_built(sizes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    stated_sizes(path, **sizes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    with pytest.raises(CheckpointError, match=r"beyond any model known here|describes an invalid network"):
        load_checkpoint(path)
    assert time.process_time() - started < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_a_network_takes_as_many_patches_as_a_page_feeds() -> None:
    from core.engine import inputs
    from core.models import base

    assert inputs.MAX_GRID == base.MAX_GRID


def pickled(path: Path, payload: bytes) -> None:
    """A file of torch whose pickle is `payload`."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", payload)
        archive.writestr("archive/version", "3\n")


NESTED = (
    b"\x80\x02}q\x00" + b")" + b"q\x01" + b"".join(b"h\x01h\x01\x86q\x01" for _ in range(60)) + b"K\x01s."
)
"""A dictionary whose key is a pair of a pair of a pair, 60 deep: hashing it takes 2 to the power of 60
steps."""


@pytest.mark.parametrize(
    "payload",
    [
        NESTED,
        NESTED.replace(b"\x80\x02}q\x00", b"\x80\x02}q\x00X\x05\x00\x00\x00model}q\x02") + b"",
        b"\x80\x02"
        + b"]q\x00"
        + b"".join(b"(" + b"h\x00" * 50 + b"lq\x00" for _ in range(30))
        + b".",  # lists of lists of lists
        b"\x80\x02cbuiltins\nset\n("
        + b")q\x01"
        + b"".join(b"h\x01h\x01\x86q\x01" for _ in range(60))
        + b"l\x85R.",
        b"\x80\x02}("
        + b"".join(b"\x8a\x10" + (n * (2**61 - 1)).to_bytes(16, "little") + b"K\x00" for n in range(20_000))
        + b"u.",
        b"\x80\x02" + b"(" * 100_000 + b".",
        b"\x80\x02" + b"]" * 1000 + b"a" * 999 + b".",
        b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x10\x85R.",
        b"\x80\x02X\xff\xff\xff\x7fabc.",
        b"\x80\x05\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x02h\x07.",
        b"\x80\x02I" + b"9" * 5000 + b"\n.",
        b"\x80\x02.",
        b"\x80\x02N",
    ],
    ids=range(14),
)
def test_a_pickle_that_explodes_is_refused_at_once(payload: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    pickled(path, payload)
    started = time.process_time()
    with pytest.raises(CheckpointError, match=r"\.$"):
        load_checkpoint(path)
    assert time.process_time() - started < 3


def test_arguments_that_contain_themselves_are_bounded(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"model": "mae"}
    arguments["again"] = [arguments, arguments]
    path = tmp_path / "weights.pth"
    torch_file(path, {"model": scale_mae(), "args": arguments})
    assert files.read_checkpoint(path).args["model"] == "mae"


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "form",
    ["plain", "half", "bfloat16", "double", "transposed", "slice", "shared", "scalar", "empty", "parameter"],
)
def test_every_form_of_tensor_reads_as_torch_reads_it(form: str, legacy: bool, tmp_path: Path) -> None:
    numbers = torch.randn(6, 5)
    forms: dict[str, Tensor] = {
        "plain": numbers, "half": numbers.half(), "bfloat16": numbers.bfloat16(), "double": numbers.double(),
        "transposed": numbers.T,
        "slice": numbers[1:5, 2:4], "shared": numbers, "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3), "parameter": nn.Parameter(numbers),
    }  # fmt: skip
    path = tmp_path / "weights.pth"
    other = {"other": numbers[2:]} if form == "shared" else {}
    torch.save(
        {"state_dict": {"x": forms[form], **other}, "epoch": 3},
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    expected = torch.load(path, weights_only=True)["state_dict"]
    found = files.read_checkpoint(path)
    assert found.ignored == ("epoch",)
    assert set(found.tensors) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(found.tensors[name], tensor.float())
