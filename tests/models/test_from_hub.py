"""Models of the Hugging Face hub by name: looked up, downloaded, opened and published, against a local
stand-in."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from core.cli.entry import main
from core.engine.loaded import ModelCache
from core.models import create, from_hub, load_checkpoint
from core.models.checkpoints.files import CheckpointError
from core.models.foreign import ForeignEncoder
from core.models.layers.vit import prepare_timm
from core.models.model_page import stac_item, write_model_page
from core.models.opening import open_model
from core.models.registry import WeightsError
from core.net import hub as net_hub
from core.net.online import OnlineError
from tests.hub_server import StandIn, hub
from tests.models.checkpoints.test_loading import DECODER, TRUNK
from tests.models.checkpoints.test_lookalikes import hugging_face
from tests.thorough import a_few


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A hub on this machine, an empty cache, and online access on."""
    monkeypatch.setattr(from_hub, "program_folder", lambda name: tmp_path / "program" / name)
    monkeypatch.setenv("EARTH_MAE_ONLINE", "1")
    monkeypatch.setenv("EARTH_MAE_ONLINE_LOCAL", "1")
    with hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
        yield server


def saved(state: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    torch.save(state, content)
    return content.getvalue()


def test_a_vit_mae_of_the_hub_is_loaded_with_its_config_and_licence(stand_in: StandIn) -> None:
    torch.manual_seed(0)
    source = create("mae", **{**TRUNK, "num_heads": 8}, **DECODER)
    config = {
        "model_type": "vit_mae",
        "num_attention_heads": 8,
        "decoder_num_attention_heads": 2,
        "norm_pix_loss": False,
    }
    stand_in.models["facebook/vit-mae-tiny"] = {
        "pytorch_model.bin": saved(hugging_face(source)), "config.json": json.dumps(config).encode(),
        "README.md": b"", "tf_model.h5": b"x",
    }  # fmt: skip
    stand_in.licences["facebook/vit-mae-tiny"] = "apache-2.0"
    model = open_model("hf:facebook/vit-mae-tiny")
    images, res, keep = torch.randn(1, 3, 64, 64), torch.ones(1), torch.tensor([[0, 3, 7]])
    assert torch.equal(
        model.reconstruct(images, res, keep).low_raw, source.reconstruct(images, res, keep).low_raw
    )
    assert model.card.name == "hf:facebook/vit-mae-tiny"
    assert not [asked for asked in stand_in.asked if "tf_model" in asked]


def test_a_downloaded_model_needs_no_internet(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in.models["me/mine"] = {"model.safetensors": save(create("mae", **TRUNK, **DECODER).state_dict())}
    first = open_model("hf:me/mine")
    monkeypatch.delenv("EARTH_MAE_ONLINE")
    asked = len(stand_in.asked)
    second = open_model("hf:me/mine")
    assert len(stand_in.asked) == asked
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_no_request_is_sent_while_online_access_is_off(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EARTH_MAE_ONLINE")
    for name in ("hf:me/mine", "timm:vit_tiny_patch16_224.augreg_in21k"):
        with pytest.raises(OnlineError, match="online access is off"):
            open_model(name)
    assert not stand_in.asked


def test_a_mirror_without_https_needs_the_switch_for_the_local_network(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EARTH_MAE_ONLINE_LOCAL")
    with pytest.raises(OnlineError, match="not https"):
        open_model("hf:me/mine")
    assert not stand_in.asked


@pytest.mark.parametrize(
    "name", ["hf:", "hf:mine", "hf:a/b/c", "hf:../..", "hf:me/mine@../x", "hf:me/mine@", "hf:me /mine"]
)
def test_an_invalid_model_name_is_never_requested(stand_in: StandIn, name: str) -> None:
    if name == "hf:me/mine@":
        name = "hf:me/mine@a b"
    with pytest.raises(OnlineError, match="is not the name of a model"):
        open_model(name)
    assert not stand_in.asked


def test_refusals_of_the_hub_are_reported(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in.gated.add("meta/gated")
    stand_in.models["me/text"] = {"README.md": b"# no weights"}
    stand_in.models["me/several"] = {"a.pth": b"1", "b.pth": b"2"}
    stand_in.models["me/shards"] = {
        "model-00001-of-00002.safetensors": b"1",
        "model-00002-of-00002.safetensors": b"2",
    }
    messages = {
        "hf:me/none": r"me/none is not on the hub, or is private: check the name",
        "hf:meta/gated": "is gated: accept its terms",
        "hf:me/text": "holds no weights",
        "hf:me/several": r"holds 2 files of weights \(a\.pth, b\.pth\)",
        "hf:me/shards": "in several parts",
    }
    for name, sentence in messages.items():
        with pytest.raises((OnlineError, CheckpointError), match=sentence) as answer:
            open_model(name)
        assert str(answer.value).endswith(".") and "\n" not in str(answer.value)
    stand_in.failing = 99
    with pytest.raises(OnlineError, match="the hub answers 500"):
        open_model("hf:me/text@v2")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(OnlineError, match=r"cannot be reached \(ConnectError\): check the network"):
        open_model("hf:me/text@v3")


def test_a_file_larger_than_the_disk_is_not_downloaded(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    stand_in.models["me/mine"] = {"model.safetensors": b"x" * 1000}
    monkeypatch.setattr(net_hub.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    with pytest.raises(OnlineError, match="free some space"):
        open_model("hf:me/mine")
    assert not [asked for asked in stand_in.asked if "/resolve/" in asked]


def test_a_hostile_file_of_the_hub_is_refused_like_any_other(stand_in: StandIn) -> None:
    stand_in.models["bad/one"] = {"pytorch_model.bin": b"these are the weights, honestly " * 9}
    with pytest.raises(CheckpointError, match="neither a file of torch"):
        open_model("hf:bad/one")


def test_timm_weights_are_downloaded_from_timms_page(stand_in: StandIn) -> None:
    create_model = prepare_timm()

    torch.manual_seed(1)
    source = create_model("vit_tiny_patch16_224", num_classes=1000).eval()
    stand_in.models["timm/vit_tiny_patch16_224.augreg_in21k"] = {
        "model.safetensors": save(source.state_dict()),
        "config.json": json.dumps({"architecture": "vit_tiny_patch16_224", "pretrained_cfg": {}}).encode(),
    }
    model = open_model("timm:vit_tiny_patch16_224.augreg_in21k")
    assert isinstance(model, ForeignEncoder)
    assert model.card.name == "timm:vit_tiny_patch16_224.augreg_in21k"
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = source.forward_head(source.forward_features(images), pre_logits=True)
        assert torch.equal(model.vector(images, torch.ones(2)), expected)


# Publishing -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", a_few(["scale_mae_tiny", "mae_tiny", "scale_contrast_tiny"], 1))
def test_a_published_model_comes_back_as_it_was(
    stand_in: StandIn, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", name, "--hub", f"me/{name}", "--to", str(tmp_path / "page"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["address"] == f"{stand_in.address}/me/{name}"
    assert set(stand_in.models[f"me/{name}"]) >= {
        "model.safetensors",
        "config.json",
        "README.md",
        "stac-item.json",
    }
    source, model = create(name), ModelCache(2**30).get(f"hf:me/{name}").cpu()
    expected = source.state_dict()
    assert all(
        torch.equal(t, expected[k]) for k, t in model.state_dict().items() if not k.endswith("pos_embed")
    )
    for field in ("family", "mean", "std", "pooling", "default_policy", "res_range", "gsd_aware", "input_px"):
        assert getattr(model.card, field) == getattr(source.card, field), field


def test_the_page_has_the_front_matter_that_the_hub_reads(tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    write_model_page(create("scale_mae_tiny"), tmp_path, "me/scale-mae-tiny")
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "earth-mae-explorer"
    assert card.data.pipeline_tag == "image-feature-extraction"
    assert "earth-observation" in card.data.tags
    assert 'load("hf:me/scale-mae-tiny")' in card.text
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["earth_mae_recipe"]["family"] == config["architecture"] == "scale_mae"
    assert load_checkpoint(tmp_path / "model.safetensors").card.family == "scale_mae"


def test_the_item_is_valid_by_the_library_of_the_extension() -> None:
    pystac = pytest.importorskip("pystac")
    mlm = pytest.importorskip("pystac.extensions.mlm")
    card = create("scale_mae_tiny").card
    item = pystac.Item.from_dict(stac_item(card, "me/scale-mae-tiny", "Apache-2.0"))
    found = mlm.MLMExtension.ext(item)
    assert found.mlm_name == "scale_mae_tiny"
    assert found.architecture == "scale_mae"
    assert found.input[0].input.shape == [-1, 3, card.input_px, card.input_px]
    assert [each["type"] for each in item.properties["mlm:input"][0]["value_scaling"]] == ["z-score"] * 3
    assert found.output[0].result.shape == [-1, card.embed_dim]
    assert item.bbox == [-180, -90, 180, 90]


def test_what_may_not_be_published_is_refused(tmp_path: Path) -> None:
    torch.save(create("mae", **TRUNK, **DECODER).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match="random weights"):
        write_model_page(create("mae_base"), tmp_path / "page", "me/mine")
    with pytest.raises(WeightsError, match="another library's network"):
        write_model_page(open_model("timm:resnet10t"), tmp_path / "page", "me/mine")
    stated = load_checkpoint(tmp_path / "weights.pth")
    write_model_page(stated, tmp_path / "page", "me/mine")
    assert "license: cc-by-nc-4.0" in (tmp_path / "page/README.md").read_text()


def test_publishing_offline_needs_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EARTH_MAE_ONLINE", raising=False)
    assert main(["publish", "mae_tiny", "--hub", "me/mine"]) == 2
    assert "add --online to upload the page, or --to DIR" in capsys.readouterr().err
    assert main(["publish", "mae_tiny", "--hub", "me/mine", "--to", str(tmp_path / "page")]) == 0
    assert "Not uploaded: add --online" in capsys.readouterr().err
    assert main(["publish", "mae_tiny", "--hub", "mine", "--to", str(tmp_path / "page")]) == 2


def test_a_login_without_write_permission_is_reported(
    stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in.refuses_writing = True
    assert main(["publish", "mae_tiny", "--hub", "me/mine"]) == 2
    assert "me/mine does not let you do this: log in" in capsys.readouterr().err
