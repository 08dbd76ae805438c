import threading

import pytest
import torch

from core.engine import loaded
from core.engine.loaded import ModelCache
from core.errors import ExplorerError
from core.models import create

from .conftest import SMALL


@pytest.fixture
def built(monkeypatch):
    """Names built so far; the builder makes a small network for any name."""
    names = []

    def build(name):
        names.append(name)
        return create("mae", **SMALL)

    monkeypatch.setattr(loaded, "_build", build)
    return names


def test_one_copy_for_many_users(built):
    shelf, got = ModelCache(2**30), []
    threads = [threading.Thread(target=lambda: got.append(shelf.get("mae_tiny"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == ["mae_tiny"]
    assert len({id(model) for model in got}) == 1


def test_the_least_recently_used_goes_when_the_limit_is_reached(built):
    size = loaded._bytes_of(create("mae", **SMALL))
    shelf = ModelCache(2 * size)
    for name in ("a", "b", "a", "c", "a", "b"):
        shelf.get(name)
    assert built == ["a", "b", "c", "b"]


def test_a_single_model_above_the_limit_still_loads(built):
    shelf = ModelCache(1)
    assert shelf.get("a") is shelf.get("a")


def test_the_sizes_of_models_are_taken_once(built, monkeypatch):
    taken = []
    monkeypatch.setattr(loaded, "_bytes_of", lambda model: taken.append(model) or 7)
    shelf = ModelCache(2**30)
    shelf.get("a"), shelf.get("b"), shelf.get("a")
    assert [model.size_bytes for model in (*shelf.models(), *shelf.models())] == [7] * 4
    assert len(taken) == 2


def test_an_untrained_network_is_the_same_in_every_process():
    first, second = loaded._build("mae_tiny"), loaded._build("mae_tiny")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not any(p.requires_grad for p in first.parameters())


def test_networks_initialised_concurrently_equal_those_initialised_alone():
    names = ("sdmae_tiny", "mae_tiny", "sdmae_tiny", "mae_tiny")
    alone = {name: loaded._build(name).state_dict() for name in names}
    meet, states = threading.Barrier(len(names)), {}

    def draw(n):
        meet.wait(30)
        states[n] = loaded._build(names[n]).state_dict()

    threads = [threading.Thread(target=draw, args=(n,)) for n in range(len(names))]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert all(
        torch.equal(tensor, alone[name][key])
        for n, name in enumerate(names)
        for key, tensor in states[n].items()
    )


def test_an_unknown_name_is_reported():
    with pytest.raises(ExplorerError, match="no model called"):
        ModelCache(2**30).get("mae_gigantic")


def test_ambiguous_positions_are_stated_after_the_file_name(tmp_path):
    from core.models.checkpoints.loading import AmbiguousPositionsError

    torch.save(create("encoder", **SMALL).state_dict(), tmp_path / "enc.pth")
    shelf = ModelCache(2**30)
    with pytest.raises(AmbiguousPositionsError, match=r"\+gsd or \+static"):
        shelf.get(tmp_path / "enc.pth")
    assert shelf.get(tmp_path / "enc.pth+gsd").card.gsd_aware
    assert not shelf.get(str(tmp_path / "enc.pth+static")).card.gsd_aware
    assert [one.path.name for one in shelf.models()] == ["enc.pth", "enc.pth"]
    shelf.drop(tmp_path / "enc.pth")
    assert shelf.models() == ()
