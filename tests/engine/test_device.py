import numpy as np
import pytest
import torch

from core.engine import batch_sizes
from core.engine import device as unit
from core.engine.batch_sizes import OutOfMemoryError, fitting_batches
from core.engine.device import DeviceError


@pytest.fixture(autouse=True)
def forget():
    unit.device.cache_clear()
    batch_sizes._largest.clear()
    yield
    unit.device.cache_clear()
    batch_sizes._largest.clear()


@pytest.mark.parametrize(
    ("cuda", "mps", "kind"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_the_fastest_device_wins(monkeypatch, cuda, mps, kind):
    monkeypatch.delenv("EARTH_MAE_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda name: "A fake GPU")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    found = unit.device()
    assert found.kind == kind
    assert found.precision == ("bfloat16" if kind == "cuda" else "float32")


def test_the_environment_overrides_the_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("EARTH_MAE_DEVICE", "cpu")
    assert unit.device().kind == "cpu"


@pytest.mark.parametrize("name", ["mps", "gpu", "tpu:3"])
def test_a_missing_device_is_reported(monkeypatch, name):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="cpu"):
        unit.device(name)


def test_networks_run_under_autocast_where_the_device_says_so():
    half = unit.Device("cpu", "a fake", "bfloat16")
    with unit.precision(half):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with unit.precision(unit.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_arrays_go_and_come_back_unchanged_even_when_read_only():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    array.setflags(write=False)
    on = unit.device("cpu")
    assert np.array_equal(unit.to_numpy(unit.to_device(array, on)), array)
    assert unit.to_numpy(torch.ones(2, dtype=torch.bfloat16)).dtype == np.float32


def test_memory_is_that_of_this_machine():
    memory = unit.memory(unit.device("cpu"))
    assert 0 < memory.process < memory.total
    assert 0 < memory.used <= memory.total


class Room:
    """A device that fits a given number of pictures."""

    def __init__(self, fits: int, error: BaseException | None = None) -> None:
        self.fits, self.tried, self.error = (
            fits,
            [],
            error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        )

    def __call__(self, piece: slice) -> list[int]:
        size = piece.stop - piece.start
        self.tried.append(size)
        if size > self.fits:
            raise self.error
        return list(range(piece.start, piece.stop))


def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_lost():
    room, messages = Room(3), []
    done = [n for _, part in fitting_batches(room, 17, start=16, key="m", say=messages.append) for n in part]
    assert done == list(range(17))
    assert room.tried[:4] == [16, 8, 4, 2]
    assert len(messages) == 3 and "batch size is now 2" in messages[-1]


def test_what_fitted_is_remembered():
    list(fitting_batches(Room(3), 8, start=8, key="m"))
    again = Room(3)
    list(fitting_batches(again, 8, start=8, key="m"))
    assert max(again.tried) == 2


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")],
)
def test_every_wording_of_out_of_memory_is_recognised(error):
    assert sum(len(part) for _, part in fitting_batches(Room(1, error), 4, start=4, key="m")) == 4


def test_one_picture_that_does_not_fit_is_reported():
    with pytest.raises(OutOfMemoryError, match="smaller model"):
        list(fitting_batches(Room(0), 4, start=4, key="m"))


def test_other_failures_are_not_swallowed():
    with pytest.raises(RuntimeError, match="shape"):
        list(fitting_batches(Room(0, RuntimeError("shape mismatch")), 4, start=4, key="m"))


@pytest.mark.parametrize(
    ("named", "kinds"), [(None, ["cuda:0", "cuda:1", "cuda:2"]), ("cuda:1", ["cuda:1"]), ("cpu", ["cpu"])]
)
def test_long_work_spreads_over_every_card_unless_one_is_named(monkeypatch, named, kinds):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda name: "A fake GPU")
    if named:
        monkeypatch.setenv("EARTH_MAE_DEVICE", named)
    else:
        monkeypatch.delenv("EARTH_MAE_DEVICE", raising=False)
    assert [on.kind for on in unit.devices()] == kinds
