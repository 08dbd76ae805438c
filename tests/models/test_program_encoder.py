"""Exported networks, .pt2 and ONNX: outputs are those of the original, and files that do more are refused
before they run."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from core.engine.embed import embed
from core.engine.inputs import InputError
from core.engine.loaded import ModelCache
from core.engine.reconstruct import require_reconstructor
from core.models.base import ModelInputError
from core.models.checkpoints.files import CheckpointError
from core.models.opening import open_model
from core.models.pooling import pooled, poolings
from tests.thorough import a_few


class Small(nn.Module):
    """A patch embedding that returns a vector, tokens or a map."""

    def __init__(self, *gives: str, res: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.cls, self.gives, self.takes_res = (
            nn.Conv2d(3, 12, 16, 16),
            nn.Parameter(torch.randn(1, 1, 12)),
            gives,
            res,
        )

    def forward(self, images: torch.Tensor, res: torch.Tensor | None = None) -> Any:
        found = self.conv(images)
        if res is not None:
            found = found * res[:, None, None, None]
        tokens = torch.cat([self.cls.expand(images.shape[0], -1, -1), found.flatten(2).transpose(1, 2)], 1)
        all_of_it = {"vector": tokens.mean(1), "tokens": tokens, "map": found}
        given = tuple(all_of_it[name] for name in self.gives)
        return given if len(given) > 1 else given[0]


def exported(path: Path, network: nn.Module, side: int = 64, free: bool = True, res: bool = False) -> Path:
    example = (torch.randn(2, 3, side, side), torch.ones(2))[: 1 + res]
    batch = torch.export.Dim("batch", min=1, max=4096)
    shapes = {"images": {0: batch}, **({"res": {0: batch}} if res else {})} if free else None
    torch.export.save(torch.export.export(network.eval(), example, dynamic_shapes=shapes), path)
    return path


@pytest.mark.parametrize("gives", [("vector",), ("tokens",), ("map",), ("vector", "tokens")], ids="+".join)
def test_an_exported_torch_program_gives_the_original_outputs(tmp_path: Path, gives: tuple[str, ...]) -> None:
    network = Small(*gives)
    model = open_model(exported(tmp_path / "mine.pt2", network))
    images, res = torch.randn(5, 3, 64, 64), torch.ones(5)
    found = network(images)
    first = found[0] if isinstance(found, tuple) else found
    assert model.card.input_px == 64
    if "vector" in gives:
        assert torch.allclose(pooled(model, images, res, "vector"), first, atol=1e-6)
    if gives == ("vector",):
        assert poolings(model) == ("vector",)
        with pytest.raises(ModelInputError, match="one vector for each picture"):
            model.encode(images, res)
    else:
        tokens = model.encode(images, res)
        assert model.patch_size == 16
        assert tokens.shape == (5, 17, 12)
        expected = network.conv(images).flatten(2).transpose(1, 2)
        assert torch.allclose(tokens[:, 1:], expected, atol=1e-6)


def test_a_program_that_takes_res_gets_it(tmp_path: Path) -> None:
    model = open_model(exported(tmp_path / "mine.pt2", Small("vector", res=True), res=True))
    assert model.card.gsd_aware
    images = torch.randn(2, 3, 64, 64)
    one, two = (
        pooled(model, images, torch.ones(2), "vector"),
        pooled(model, images, 2 * torch.ones(2), "vector"),
    )
    assert not torch.allclose(one, two)


@pytest.mark.thorough
def test_a_fixed_batch_is_filled_up(tmp_path: Path) -> None:
    network = Small("vector")
    model = open_model(exported(tmp_path / "mine.pt2", network, free=False))
    images = torch.randn(5, 3, 64, 64)
    assert torch.allclose(pooled(model, images, torch.ones(5), "vector"), network(images), atol=1e-6)


def test_programs_embed_from_the_cache_and_cannot_reconstruct(tmp_path: Path) -> None:
    model = ModelCache(2**30).get(str(exported(tmp_path / "mine.pt2", Small("vector"))))
    pictures = np.random.default_rng(0).random((70, 3, 64, 64), np.float32)
    assert embed(model, pictures, gsd_m=10.0).shape == (70, 12)
    with pytest.raises(InputError, match="is an encoder without a decoder"):
        require_reconstructor(model)
    with pytest.raises(ModelInputError, match=r"takes pictures of 64 px, not 32 px"):
        embed(model, pictures[:, :, :32, :32], gsd_m=10.0)


def test_a_child_process_that_died_is_replaced(tmp_path: Path) -> None:
    model: Any = open_model(exported(tmp_path / "mine.pt2", Small("vector")))
    images = torch.randn(1, 3, 64, 64)
    before = pooled(model, images, torch.ones(1), "vector")
    model.process._child.process.kill()
    model.process._child.process.wait()
    assert torch.equal(pooled(model, images, torch.ones(1), "vector"), before)
    child = model.process._child.process
    del model
    import gc

    gc.collect()
    assert child.poll() is not None, "the process must end with its model"


def rewritten(
    path: Path, change: Callable[[str, bytes], bytes | None], more: dict[str, bytes] | None = None
) -> None:
    """Write a zip again with other content; None leaves a record out."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
        root = next(iter(records)).partition("/")[0]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            if (kept := change(name, content)) is not None:
                archive.writestr(name, kept)
        for name, content in (more or {}).items():
            archive.writestr(f"{root}/{name}", content)


def in_program(old: str, new: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        def replaced(name: str, content: bytes) -> bytes:
            if "/models/" not in name:
                return content
            assert old.encode() in content, f"{old} is not in the program"
            return content.replace(old.encode(), json.dumps(new)[1:-1].encode())

        rewritten(path, replaced)

    return change


class Touch:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


def sample_that_runs(path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Touch(), protocol=2))
        archive.writestr("archive/version", "3\n")
    rewritten(path, lambda name, kept: content.getvalue() if "/sample_inputs/" in name else kept)


def pickled_weights(path: Path) -> None:
    rewritten(
        path,
        lambda name, kept: kept.replace(b'"use_pickle": false', b'"use_pickle": true').replace(
            b'"use_pickle":false', b'"use_pickle":true'
        ),
    )


HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "another function of torch": (in_program("torch.ops.aten.mean.dim", "torch.hub.load"),
    r"calls 'torch\.hub\.load'"),
    "a function by way of an operator": (
        in_program("torch.ops.aten.mean.dim", "torch.ops.aten.mean.__class__.__init__.__globals__"),
        "is not a tensor operator"
    ),
    "code in the name of an input": (
        in_program("images", "images=__import__('os').system('touch ran')"), "not a plain name"
    ),
    "a pickled sample that runs": (sample_that_runs, "sample of its inputs that is more than tensors"),
    "pickled weights": (pickled_weights, "pickled weights"),
    "old pickled weights": (lambda p: rewritten(p, lambda _, kept: kept, {"data/weights/model.pt": b"x"}),
    "pickled objects"),
    "compiled code": (lambda p: rewritten(p, lambda _, kept: kept, {"data/aotinductor/model/a.so": b"x"}),
    "compiled code"),
    "two programs": (lambda p: rewritten(p, lambda _, kept: kept, {"models/other.json": b"{}"}),
    "holds 2 programs"),
    "a truncated file": (lambda p: p.write_bytes(p.read_bytes()[:-2000]), "truncated or damaged"),
    "a text": (lambda p: p.write_text("a program, honestly"), "truncated or damaged"),
    "nothing": (lambda p: p.write_bytes(b""), "is empty"),
}  # fmt: skip


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A harmless program."""
    return exported(tmp_path_factory.mktemp("program") / "mine.pt2", Small("vector")).read_bytes()


@pytest.mark.parametrize("name", a_few(HOSTILE, 3))
def test_a_program_that_does_more_is_refused_before_it_runs(
    name: str, program: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    change, message = HOSTILE[name]
    path = tmp_path / "mine.pt2"
    path.write_bytes(program)
    change(path)
    with pytest.raises(CheckpointError, match=message) as answer:
        open_model(path)
    assert not (tmp_path / "ran").exists(), "code in the file was executed"
    assert str(answer.value).endswith(".") and "\n" not in str(answer.value) and len(str(answer.value)) < 400


@pytest.mark.parametrize(
    "expression", ["__import__('os').system('touch ran')", "s77.__class__", "exec(s77)", "lambda: 0"]
)
def test_a_size_that_is_code_is_not_evaluated(
    expression: str, program: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.pt2"
    path.write_bytes(program)

    def change(name: str, content: bytes) -> bytes:
        if "/models/" not in name:
            return content
        document = json.loads(content)
        waiting, found = [document], 0
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                found += "expr_str" in value
                value.update({"expr_str": expression} if "expr_str" in value else {})
                waiting += value.values()
            elif isinstance(value, list):
                waiting += value
        assert found
        return json.dumps(document).encode()

    rewritten(path, change)
    with pytest.raises(CheckpointError, match="not a plain name"):
        open_model(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("network", "example", "message"),
    a_few(
        [
            (nn.Conv2d(4, 8, 8, 8), (torch.randn(1, 4, 64, 64),), "takes 4 bands"),
            (nn.Linear(8, 8), (torch.randn(1, 8),), "where one float32 picture"),
            (nn.Conv2d(3, 8, 8, 8), (torch.randn(1, 3, 64, 32),), "export it for squares"),
            (
                nn.Sequential(nn.Conv2d(3, 1, 64), nn.Flatten(0)),
                (torch.randn(1, 3, 64, 64),),
                "export an encoder",
            ),
        ],
        2,
    ),
)
def test_programs_that_do_not_embed_images_are_refused(
    network: nn.Module, example: Any, message: str, tmp_path: Path
) -> None:
    torch.export.save(torch.export.export(network.eval(), example), tmp_path / "mine.pt2")
    with pytest.raises(CheckpointError, match=message):
        open_model(tmp_path / "mine.pt2")


# ONNX -----------------------------------------------------------------------------------


@pytest.fixture
def onnx() -> Any:
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    return pytest.importorskip("onnx", reason="needs the extra onnx")


def onnx_model(onnx: Any, weight: Any, sizes: tuple[Any, ...] = ("b", 3, 64, 64)) -> Any:
    """conv -> mean over the grid: (b, 12)."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Conv", ["images", "weight"], ["map"], strides=[16, 16]),
        helper.make_node("GlobalAveragePool", ["map"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["vector"]),
    ]
    values = (
        [helper.make_tensor_value_info("images", floats, sizes)],
        [helper.make_tensor_value_info("vector", floats, ("b", 12))],
    )
    graph = helper.make_graph(nodes, "small", *values, [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def weight_of(onnx: Any) -> tuple[Any, Any]:
    numbers = np.random.default_rng(0).standard_normal((12, 3, 16, 16)).astype(np.float32)
    return numbers, onnx.numpy_helper.from_array(numbers, "weight")


def external(onnx: Any, location: str) -> Any:
    """A weight whose values are in another file."""
    numbers, tensor = weight_of(onnx)
    onnx.external_data_helper.set_external_data(tensor, location, offset=0, length=numbers.nbytes)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    return tensor


def test_onnx_gives_the_original_outputs(onnx: Any, tmp_path: Path) -> None:
    numbers, tensor = weight_of(onnx)
    (tmp_path / "mine.onnx").write_bytes(onnx_model(onnx, tensor).SerializeToString())
    model = open_model(tmp_path / "mine.onnx")
    images = torch.randn(40, 3, 64, 64)
    expected = nn.functional.conv2d(images, torch.from_numpy(numbers), stride=16).mean((2, 3))
    assert torch.allclose(pooled(model, images, torch.ones(40), "vector"), expected, atol=1e-4)


def test_weights_beside_an_onnx_file_are_read(onnx: Any, tmp_path: Path) -> None:
    numbers, _ = weight_of(onnx)
    (tmp_path / "mine.onnx.data").write_bytes(numbers.tobytes())
    (tmp_path / "mine.onnx").write_bytes(
        onnx_model(onnx, external(onnx, "mine.onnx.data")).SerializeToString()
    )
    images = torch.randn(2, 3, 64, 64)
    expected = nn.functional.conv2d(images, torch.from_numpy(numbers), stride=16).mean((2, 3))
    assert torch.allclose(
        pooled(open_model(tmp_path / "mine.onnx"), images, torch.ones(2), "vector"), expected, atol=1e-4
    )


@pytest.mark.parametrize("how", a_few(["above", "absolute", "a link", "nowhere", "the folder itself"], 1))
def test_weights_outside_the_folder_are_refused(onnx: Any, tmp_path: Path, how: str) -> None:
    numbers, _ = weight_of(onnx)
    folder = tmp_path / "model"
    folder.mkdir()
    secret = tmp_path / "secret.bin"
    secret.write_bytes(numbers.tobytes())
    location = {
        "above": "../secret.bin",
        "absolute": str(secret),
        "a link": "link.bin",
        "nowhere": "missing.bin",
        "the folder itself": ".",
    }[how]
    if how == "a link":
        (folder / "link.bin").symlink_to(secret)
    (folder / "mine.onnx").write_bytes(onnx_model(onnx, external(onnx, location)).SerializeToString())
    message = "is not beside it" if how == "nowhere" else "outside its own folder"
    with pytest.raises(CheckpointError, match=message):
        open_model(folder / "mine.onnx")


@pytest.mark.parametrize(
    "content",
    a_few([b"\x08\x08 honest", b"not an ONNX file at all, " * 50, b"\x00" * 200], 2),
    ids=["a few bytes", "text", "zeros"],
)
def test_invalid_onnx_files_are_refused(onnx: Any, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_bytes(content)
    with pytest.raises(CheckpointError, match="truncated or damaged, or not an ONNX file"):
        open_model(tmp_path / "mine.onnx")


def test_a_truncated_onnx_file(onnx: Any, tmp_path: Path) -> None:
    whole = onnx_model(onnx, weight_of(onnx)[1]).SerializeToString()
    (tmp_path / "mine.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="truncated or damaged, or not an ONNX file"):
        open_model(tmp_path / "mine.onnx")


def test_without_the_extra_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from core.errors import ExplorerError
    from core.untrusted import onnx_file

    monkeypatch.setitem(sys.modules, "onnx", None)
    (tmp_path / "mine.onnx").write_bytes(b"\x08\x08")
    with pytest.raises(ExplorerError, match=r"pip install 'earth-mae-explorer\[onnx\]'"):
        onnx_file.described(str(tmp_path / "mine.onnx"))
