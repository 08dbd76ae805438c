"""Files that lie, break or attack: a sentence for each, nothing run, nothing large built."""

from __future__ import annotations

import json
import os
import pickle
import resource
import struct
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
from core.models import checkpoint_files, create, load_checkpoint
from core.models.checkpoints import CheckpointError

SIZES: dict[str, Any] = {"img_size": 32, "patch_size": 16, "embed_dim": 64, "depth": 2, "num_heads": 1, "fcn_dim": 8, "fcn_layers": 1}
SIZES |= {"decoder_embed_dim": 32, "decoder_depth": 1, "decoder_num_heads": 1}


def scale_mae(**changes: Tensor | None) -> dict[str, Tensor]:
    state = create("scale_mae", **SIZES).state_dict()
    return {key: tensor for key, tensor in {**state, **{key.replace("__", "."): t for key, t in changes.items()}}.items() if tensor is not None}


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
    """A megabyte that unfolds to a gigabyte: a real checkpoint whose records are compressed."""
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
    torch_file(path, {key.replace("blocks.1.", "blocks.900000.", 1) if key.startswith("blocks.1.") else key: t for key, t in scale_mae().items()})


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
    "a call of os.system": (lambda p: torch_file(p, {"model": Runs(os.system, "touch ran")}), r"asks to run (os|posix)\.system"),
    "a call of eval": (lambda p: torch_file(p, {"model": scale_mae(), "args": Runs(eval, "open('ran', 'w')")}), r"asks to run .*eval"),
    "a call in the old format": (
        lambda p: torch.save({"model": Runs(os.system, "touch ran")}, p, _use_new_zipfile_serialization=False),
        r"asks to run (os|posix)\.system",
    ),
    "a bare pickle that runs code": (lambda p: p.write_bytes(pickle.dumps(Runs(os.system, "touch ran"))), "neither a file of torch"),
    "a whole module": (lambda p: torch_file(p, nn.Linear(2, 2)), r"asks to run torch\.nn"),
    "a truncated zip": (truncated_zip, "cut short or damaged"),
    "a truncated old file": (truncated_legacy, "cut short or damaged"),
    "a truncated safetensors": (truncated_safetensors, "cut short or damaged"),
    "a zip bomb": (zip_bomb, "unfold to more than it holds"),
    "another zip": (other_zip, "not one of torch's"),
    "a TorchScript program": (torchscript, "TorchScript"),
    "a header bomb": (lambda p: p.write_bytes(struct.pack("<Q", 2**62) + b'{"a":' * 100), "claims a header of 4611686018427387904 bytes"),
    "a header of 17 MB": (lambda p: p.write_bytes(struct.pack("<Q", 17 * 2**20) + b"{" * (18 * 2**20)), "claims a header of 17825792 bytes"),
    "a header of nothing but brackets": (lambda p: p.write_bytes(struct.pack("<Q", 60_000) + b"{" * 60_000), "cut short or damaged"),
    "tensors beyond the file": (
        lambda p: p.write_bytes(header({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}})),
        "cut short or damaged",
    ),
    "tensors one upon another": (
        lambda p: p.write_bytes(header({k: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for k in "ab"}, bytes(8))),
        "cut short or damaged",
    ),
    "fewer numbers than claimed": (fewer_numbers_than_claimed, "holds fewer"),
    "the same numbers many times": (same_numbers_many_times, "more numbers than its"),
    "quantised weights": (lambda p: torch_file(p, scale_mae(norm__weight=torch.ones(64, dtype=torch.int8))), "int8"),
    "complex weights": (lambda p: torch_file(p, scale_mae(norm__weight=torch.ones(64, dtype=torch.complex64))), "complex64"),
    "sparse weights": (lambda p: torch_file(p, scale_mae(norm__weight=torch.ones(64).to_sparse())), "in a form"),
    "not a number": (lambda p: torch_file(p, scale_mae(norm__weight=torch.full((64,), float("nan")))), "are no numbers"),
    "infinity": (lambda p: torch_file(p, scale_mae(norm__bias=torch.full((64,), float("inf")))), "are no numbers"),
    "a word among tensors": (lambda p: torch_file(p, {**scale_mae(), "greeting": "hello"}), "'greeting' among its tensors"),
    "numbers for names": (lambda p: torch_file(p, {1: torch.zeros(2)}), "'1' among its tensors"),
    "a list": (lambda p: torch_file(p, [torch.zeros(2)]), "a list, not tensors by name"),
    "no tensors": (lambda p: torch_file(p, {"epoch": 3}), "no tensors by name"),
    "an empty dictionary": (lambda p: torch_file(p, OrderedDict()), "no tensors by name"),
    "too many tensors": (lambda p: torch_file(p, {str(i): torch.zeros(1) for i in range(300)}), "lists 300 tensors"),
    "a text file": (lambda p: p.write_text("these are the weights, honestly " * 9), "neither a file of torch"),
    "a web page": (lambda p: p.write_text("<!DOCTYPE html><title>404</title>"), "is a web page"),
    "a pointer of Git LFS": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "Git LFS"),
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
    "missing tensors": (lambda p: torch_file(p, scale_mae(decoder_embed__bias=None)), r"1 of its tensors are missing \(decoder_embed.bias\)"),
    "another variant": (lambda p: torch_file(p, scale_mae(surprise=torch.zeros(3))), r"no place for \(surprise\)"),
    "no patches": (lambda p: torch_file(p, scale_mae(patch_embed__proj__weight=torch.zeros(64, 3, 0, 0))), "patch_embed.proj.weight has the shape"),
    "13 bands": (lambda p: torch_file(p, scale_mae(patch_embed__proj__weight=torch.zeros(64, 13, 16, 16))), "takes 13 bands"),
    "positions of no square": (lambda p: torch_file(p, scale_mae(pos_embed=torch.zeros(1, 8, 64))), "not CLS and a square grid"),
    "a flat CLS": (lambda p: torch_file(p, scale_mae(cls_token=torch.zeros(64))), "cls_token has the shape"),
    "TinyMIM with a distillation token": (lambda p: torch_file(p, scale_mae(dist_token=torch.zeros(1, 1, 64))), "TinyMIM"),
    "projected positions": (lambda p: torch_file(p, scale_mae(pos_emb_projection__weight=torch.zeros(2, 2))), "projected positions"),
    "many-band SatMAE": (lambda p: torch_file(p, scale_mae(channel_embed=torch.zeros(1, 3, 8))), "SatMAE for many bands"),
    "Hugging Face's layout": (lambda p: torch_file(p, {"vit.encoder.layer.0.output.dense.weight": torch.zeros(2)}), "Hugging Face"),
    "a residual network": (lambda p: torch_file(p, {"conv1.weight": torch.zeros(2), "fc.bias": torch.zeros(1)}), "no network known here"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_get_a_sentence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if name == "too many tensors":
        monkeypatch.setattr(checkpoint_files, "MAX_TENSORS", 200)
    make, said = HOSTILE[name]
    path = tmp_path / "weights.pth"
    make(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(ExplorerError, match=said) as answer:
        load_checkpoint(path)

    assert isinstance(answer.value, CheckpointError)
    assert not (tmp_path / "ran").exists(), "code of the file was run"
    sentence = str(answer.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 500
    assert str(tmp_path) not in sentence
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024, "more than 200 MB were taken"


def test_a_name_that_is_none(tmp_path: Path) -> None:
    for name in ("\0.pth", "x" * 5000):
        with pytest.raises(CheckpointError, match=r"cannot be opened|no file called"):
            load_checkpoint(tmp_path / name)


def test_arguments_are_plain_values_and_touch_no_disk(tmp_path: Path) -> None:
    import argparse
    import pathlib

    said = argparse.Namespace(output_dir=pathlib.PosixPath("/etc/passwd"), band_config=[7, 56])
    path = tmp_path / "weights.pth"
    torch_file(path, {"model": scale_mae(), "args": said})
    args = checkpoint_files.read_checkpoint(path).args
    assert type(args["output_dir"]) is pathlib.PurePosixPath


def test_a_file_read_twice_at_once_is_read_twice(tmp_path: Path) -> None:
    """Restricted unpickling keeps its list of allowed names per process: two users must not take it from each other."""
    import argparse
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "weights.pth"
    torch_file(path, {"model": scale_mae(), "args": argparse.Namespace(a=1)})
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(lambda _: load_checkpoint(path), range(12)))) == 12
    with pytest.raises(pickle.UnpicklingError):  # and nothing is left allowed behind
        torch.load(path, weights_only=True)


def test_safetensors_of_a_stranger_keep_their_hash(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save(scale_mae()))
    model = load_checkpoint(path)
    assert model.report is not None
    assert model.card.weights is not None
    assert model.card.weights.sha256 == model.report.sha256
    assert len(model.report.sha256) == 64
