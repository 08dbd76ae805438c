"""Uploaded weights in the Mask Lab: loaded, reported, limited to one session; invalid files are refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from streamlit.testing.v1.element_tree import Block

from core.engine.loaded import model_cache
from core.files import file_sha256
from core.models import create, default_reconstructor
from tests.models import test_program_encoder as programs
from tests.models.checkpoints.test_hostile import HOSTILE, scale_mae
from tests.thorough import a_few
from ui.shell import weights
from ui.shell.session_store import SessionStore

LAB = "pages/1_Mask_Lab.py"
NO_UPLOADS = {"a folder", "a pipe", "no file", "links in a circle", "17 GiB of nothing", "too many tensors"}
"""Cases that exist only as paths, or are too large to upload."""

SIZES: dict[str, Any] = {"img_size": 64, "patch_size": 16, "embed_dim": 64, "depth": 1, "num_heads": 2}
DECODER: dict[str, Any] = {
    "decoder_embed_dim": 32,
    "decoder_depth": 1,
    "decoder_num_heads": 2,
    "fcn_dim": 8,
    "fcn_layers": 1,
}


@pytest.fixture(autouse=True)
def store(monkeypatch):
    """A store of this test, in which every session's tab is open."""
    sessions = SessionStore(lambda session_id: True, clean_up_s=None)
    store = weights.WeightsStore(sessions)
    monkeypatch.setattr(weights, "store", store)
    yield store
    for key in sessions.items(weights.WEIGHTS):
        store.remove(key)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A complete Scale-MAE, and an encoder that does not name its family."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("files")
    network = create("scale_mae", **SIZES, **DECODER)
    torch.save({"model": network.state_dict(), "epoch": 3}, folder / "whole.pth")
    backbone = {
        key: t
        for key, t in network.state_dict().items()
        if key.split(".")[0] in ("cls_token", "pos_embed", "patch_embed", "blocks", "norm")
    }
    torch.save(backbone, folder / "encoder.pth")
    return folder


def upload(app, content: bytes, name: str = "mine.pth"):
    app.file_uploader[0].set_value((name, content, "application/octet-stream"))
    app.run()
    return app.button(key="load weights").click().run()


def text_of(app) -> str:
    return " ".join(
        part.value for part in (*app.markdown, *app.caption, *app.error, *app.warning, *app.info)
    ).replace("\\", "")


def picked(app) -> str:
    return next(box for box in app.selectbox if box.label == "Model").value


def test_an_uploaded_file_is_loaded_reported_and_used(open_page, files, store):
    app = upload(open_page(LAB), (files / "whole.pth").read_bytes(), "../../whole.pth")
    assert not app.exception and not app.error
    (key,) = store.names("test session id")
    assert picked(app) == app.query_params["model"] == key
    assert store.get(key).path.name == "whole.pth" and store.get(key).path.parent.name == key
    assert "whole.pth (your upload)" in next(box for box in app.selectbox if box.label == "Model").options
    assert "is Scale-MAE" in text_of(
        app
    ) and "CC-BY-NC-4.0: these weights are for non-commercial use only" in text_of(app)
    assert "Ignored beside the weights: epoch" in text_of(app)
    assert app.query_params["weights"] == file_sha256(files / "whole.pth")[:12]
    assert "12 of 16 patches hidden" in text_of(app)


def test_limits_are_shown_beside_the_model(open_page):
    app = open_page(LAB)
    assert "up to 500 MB" in text_of(app)
    assert f"of at most {model_cache().limit_bytes / 2**30:.1f} GB in this server's memory" in text_of(app)


def test_upload_is_offered_on_every_page_of_its_session_only(open_page, files, store, monkeypatch):
    app = upload(open_page(LAB), (files / "whole.pth").read_bytes())
    (key,) = store.names("test session id")
    for page in ("pages/2_Scale_Lab.py", LAB):
        app.switch_page(page).run()
        assert not app.exception and not app.error, page
        assert "mine.pth (your upload)" in next(box for box in app.selectbox if box.label == "Model").options
    monkeypatch.setattr("ui.shell.state.session_id", lambda: "somebody else")
    other = open_page(LAB, model=key)
    assert not other.exception
    assert "uploaded in another session" in other.warning[0].value
    assert picked(other) == default_reconstructor()
    assert all("mine" not in option for box in other.selectbox for option in box.options)


def test_export_says_that_an_upload_exists_in_this_session_only(open_page, files):
    app = open_page(LAB, tab="Export")
    assert "exists in this session only" not in text_of(app)
    app = upload(app, (files / "whole.pth").read_bytes())
    assert "exists in this session only" in text_of(app)
    code = " ".join(block.value for block in app.code)
    assert "path/to/your/weights.pth" in code and "upload-" not in code


def test_removal_frees_disk_memory_and_caches(open_page, files, store):
    from ui.shell import cached

    app = upload(open_page(LAB), (files / "whole.pth").read_bytes())
    (key,) = store.names("test session id")
    path = store.get(key).path
    assert any(one.path == path.resolve() for one in model_cache().models())
    assert any(entry[0] == key for entry in cached._reconstructions()._results)
    app.button(key=f"remove {key}").click().run()
    assert not app.exception and not app.error
    assert picked(app) == default_reconstructor()
    assert not path.parent.exists()
    assert not any(one.path == path.resolve() for one in model_cache().models())
    assert not any(key in map(str, entry) for entry in cached._reconstructions()._results)


@pytest.mark.thorough
def test_positional_encoding_of_an_unnamed_encoder_is_asked_for(open_page, files, store):
    app = upload(open_page(LAB), (files / "encoder.pth").read_bytes())
    assert not app.exception and not app.error
    assert "does not say whether its positional encoding" in app.warning[0].value
    (key,) = store.names("test session id")
    app.radio[0].set_value("gsd").run()
    assert not app.exception
    assert picked(app) == f"{key}+gsd"
    assert "Scale-MAE encoder alone" in text_of(app) and "pictures need the full file" in text_of(app)
    assert "encoder without a decoder" in app.error[0].value


def test_hostile_files_are_refused_on_the_page(open_page, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = open_page(LAB)
    for name in (
        "a call of os.system",
        "a zip bomb",
        "a header bomb",
        "a wrong width",
        "a truncated zip",
        "an image",
        "nothing",
        "13 bands",
    ):
        make, sentence = HOSTILE[name]
        path = tmp_path / "weights.pth"
        path.unlink(missing_ok=True)
        make(path)
        app = upload(app, path.read_bytes(), "../../../tmp/x.pth")
        assert not app.exception, name
        assert len(app.error) == 1 and app.error[0].value.endswith("."), name
        assert re.search(sentence, app.error[0].value), (name, app.error[0].value)
        assert not (tmp_path / "ran").exists(), name
        assert store.names("test session id") == (), name
        assert picked(app) == default_reconstructor(), name
    assert [path.name for path in store._open_folder().iterdir()] == [weights.LOCK]
    torch.save(scale_mae(), tmp_path / "good.pth")
    app = upload(app, (tmp_path / "good.pth").read_bytes())
    assert not app.error and picked(app).startswith("upload-")


@pytest.mark.thorough
def test_markup_in_a_file_name_is_shown_as_text(open_page, files, store):
    app = upload(open_page(LAB), (files / "whole.pth").read_bytes(), "<b>x</b> :red[y] $z$.pth")
    assert not app.exception
    (key,) = store.names("test session id")
    assert re.fullmatch(r"[A-Za-z0-9_-]+\.pth", store.get(key).path.name)
    assert "\\:red" in app.button(key=f"remove {key}").label


def exported_file(kind: str, folder: Path) -> Path:
    path = folder / f"mine.{kind}"
    if kind == "pt2":
        return programs.exported(path, programs.Small("vector", "tokens"))
    onnx = pytest.importorskip("onnx")
    path.write_bytes(programs.onnx_model(onnx, programs.weight_of(onnx)[1]).SerializeToString())
    return path


@pytest.mark.parametrize("kind", a_few(["onnx", "pt2"], 1))
def test_an_exported_network_is_loaded_and_described_as_embed_only(open_page, store, tmp_path, kind):
    path = exported_file(kind, tmp_path)
    app = upload(open_page(LAB), path.read_bytes(), path.name)
    assert not app.exception
    (key,) = store.names("test session id")
    assert picked(app) == key
    assert "is an encoder without a decoder" in text_of(app)
    blocks = [block for block in app.main.children.values() if isinstance(block, Block)]
    assert blocks[0].get("error"), "the sentence stands above the columns, where it is seen"


def test_an_onnx_file_that_reads_other_files_is_refused_on_the_page(open_page, store):
    onnx = pytest.importorskip("onnx")
    model = programs.onnx_model(onnx, programs.external(onnx, "../../secret.bin"))
    app = upload(open_page(LAB), model.SerializeToString(), "mine.onnx")
    assert not app.exception and not store.names("test session id")
    assert "mine.onnx reads weights from '../../secret.bin', outside its own folder" in text_of(app)
