"""Weights of one's own in the Mask Lab: loaded, shown with their report, kept to one session, and refused in a sentence where they are none."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from core.engine.loaded import model_cache
from core.files import file_sha256
from core.models import create, default_reconstructor
from tests.models.checkpoints.test_hostile import HOSTILE, scale_mae
from ui.shell import weights

LAB = "pages/1_Mask_Lab.py"
NO_UPLOADS = {"a folder", "a pipe", "no file", "links in a circle", "17 GiB of nothing", "too many tensors"}
"""What only a path can be, or would be too large to send."""

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
    """A store of its own, in which every session's tab is open."""
    fresh = weights.Store(lambda session_id: True, sweep_s=None)
    monkeypatch.setattr(weights, "store", fresh)
    yield fresh
    for key in list(fresh._held):
        fresh.remove(key)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A whole Scale-MAE, and an encoder alone that does not say where it is from."""
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


def lay_in(app, content: bytes, name: str = "mine.pth"):
    app.file_uploader[0].set_value((name, content, "application/octet-stream"))
    app.run()
    return app.button(key="load weights").click().run()


def said(app) -> str:
    return " ".join(
        part.value for part in (*app.markdown, *app.caption, *app.error, *app.warning, *app.info)
    ).replace("\\", "")


def picked(app) -> str:
    return next(box for box in app.selectbox if box.label == "Model").value


def test_a_file_of_weights_is_loaded_reported_and_used(open_page, files, store):
    app = lay_in(open_page(LAB), (files / "whole.pth").read_bytes(), "../../whole.pth")
    assert not app.exception and not app.error
    (key,) = store.names("test session id")
    assert picked(app) == app.query_params["model"] == key
    assert store.get(key).path.name == "whole.pth" and store.get(key).path.parent.name == key
    assert "whole.pth (your upload)" in next(box for box in app.selectbox if box.label == "Model").options
    assert "is Scale-MAE" in said(
        app
    ) and "CC-BY-NC-4.0: these weights are for non-commercial use only" in said(app)
    assert "Passed over beside the weights: epoch" in said(app)
    assert app.query_params["weights"] == file_sha256(files / "whole.pth")[:12]
    assert "12 of 16 patches hidden" in said(app)


def test_the_limits_are_said_where_the_model_is_chosen(open_page):
    app = open_page(LAB)
    assert "up to 500 MB" in said(app)
    assert f"of at most {model_cache().limit_bytes / 2**30:.1f} GB in this server's memory" in said(app)


def test_it_stands_in_every_pick_list_of_its_session_and_in_no_other(open_page, files, store, monkeypatch):
    app = lay_in(open_page(LAB), (files / "whole.pth").read_bytes())
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


def test_a_link_says_that_an_upload_lives_only_here(open_page, files):
    app = open_page(LAB, tab="Take away")
    assert "exists in this session only" not in said(app)
    app = lay_in(app, (files / "whole.pth").read_bytes())
    assert "exists in this session only" in said(app)
    code = " ".join(block.value for block in app.code)
    assert "path/to/your/weights.pth" in code and "upload-" not in code


def test_removing_it_frees_disk_memory_and_results(open_page, files, store):
    from ui.shell import cached

    app = lay_in(open_page(LAB), (files / "whole.pth").read_bytes())
    (key,) = store.names("test session id")
    path = store.get(key).path
    assert any(one.path == path.resolve() for one in model_cache().models())
    assert any(question[0] == key for question in cached._made()._held)
    app.button(key=f"remove {key}").click().run()
    assert not app.exception and not app.error
    assert picked(app) == default_reconstructor()
    assert not path.parent.exists()
    assert not any(one.path == path.resolve() for one in model_cache().models())
    assert not any(key in map(str, question) for question in cached._made()._held)


def test_an_encoder_is_asked_for_its_positions_and_named_as_one(open_page, files, store):
    app = lay_in(open_page(LAB), (files / "encoder.pth").read_bytes())
    assert not app.exception and not app.error
    assert "does not say whether its positional encoding" in app.warning[0].value
    (key,) = store.names("test session id")
    app.radio[0].set_value("gsd").run()
    assert not app.exception
    assert picked(app) == f"{key}+gsd"
    assert "Scale-MAE encoder alone" in said(app) and "pictures need the full file" in said(app)
    assert "encoder without a decoder" in app.error[0].value


def test_files_that_mean_harm_are_refused_through_the_page(open_page, store, tmp_path, monkeypatch):
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
        app = lay_in(app, path.read_bytes(), "../../../tmp/x.pth")
        assert not app.exception, name
        assert len(app.error) == 1 and app.error[0].value.endswith("."), name
        assert re.search(sentence, app.error[0].value), (name, app.error[0].value)
        assert not (tmp_path / "ran").exists(), name
        assert store.names("test session id") == (), name
        assert picked(app) == default_reconstructor(), name
    assert [path.name for path in store._opened().iterdir()] == [weights.LOCK]
    torch.save(scale_mae(), tmp_path / "good.pth")
    app = lay_in(app, (tmp_path / "good.pth").read_bytes())
    assert not app.error and picked(app).startswith("upload-")


def test_markup_in_a_name_stays_text(open_page, files, store):
    app = lay_in(open_page(LAB), (files / "whole.pth").read_bytes(), "<b>x</b> :red[y] $z$.pth")
    assert not app.exception
    (key,) = store.names("test session id")
    assert re.fullmatch(r"[A-Za-z0-9_-]+\.pth", store.get(key).path.name)
    assert "\\:red" in app.button(key=f"remove {key}").label
