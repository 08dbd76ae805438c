"""The estimate of an embedding run agrees with the run, names what limits it, and writes nothing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from core.cli.embed_plan import size
from core.cli.entry import main
from core.engine.embedding import estimate as estimates
from core.engine.embedding.estimate import estimate
from core.engine.embedding.spec import EmbeddingError
from tests.engine.embedding.runs import MODEL, finish


def test_an_estimate_agrees_with_the_run(spec):
    found = estimate(spec, [MODEL], workers=2, tiles_per_s=0.5, price_per_hour=3)
    assert not Path(spec.out).exists()
    steps = finish(spec)
    assert (found.tiles, found.batch, found.area_km2) == (63, 8, pytest.approx(steps[0].area_km2))
    assert (found.wall_s, found.limit) == (63.0, "network")
    assert (found.worker_hours, found.cost) == (pytest.approx(126 / 3600), pytest.approx(3 * 126 / 3600))
    assert found.read_bytes == Path(spec.sources[0]).stat().st_size
    written = sum(file.stat().st_size for file in Path(spec.out).glob("*.parquet"))
    assert 0.6 < found.written_bytes / written < 1.4


def test_a_slow_leader_limits_the_run_and_not_the_time_of_workers(spec, monkeypatch):
    monkeypatch.setattr(estimates, "_storing", lambda sinks: (0.1, 100.0))
    found = estimate(spec, [MODEL], workers=3, tiles_per_s=63)
    assert (found.limit, found.wall_s, found.cost) == ("storing", pytest.approx(630), None)
    assert found.worker_hours < 630 / 3600
    monkeypatch.setattr(estimates, "_reading", lambda sink: 0.01)
    found = estimate(spec, [MODEL], workers=3, tiles_per_s=63)
    assert (found.limit, found.worker_hours) == ("reading", pytest.approx(6300 / 3600))


def test_measured_networks_and_several_models(spec):
    one, two = (estimate(spec, names) for names in ([MODEL], [MODEL, "tinymim_tiny"]))
    assert one.rates.network > 0 and one.rates.read > 0
    assert (one.tiles, two.tiles) == (63, 63)
    assert two.written_bytes > 1.5 * one.written_bytes


def test_an_area_without_sources(spec):
    found = estimate(
        replace(spec, sources=(), gsd_m=(10.0, 20.0)), [MODEL], tiles_per_s=100, area_km2=25_000_000
    )
    assert found.tiles == round(25e6 / 0.32**2 + 25e6 / 0.64**2)
    assert found.tables == -(-found.tiles // 20_000_000) > 1
    assert found.read_bytes == found.tiles * 32 * 32 * 6
    assert not Path(spec.out).exists()


@pytest.mark.parametrize(
    ("change", "more", "sentence"),
    [
        ({}, {"workers": 0}, "at least one worker"),
        ({}, {"tiles_per_s": 0.0}, "pace must be a positive number; 0 is not"),
        ({}, {"price_per_hour": float("nan")}, "price must be a positive number"),
        ({}, {"area_km2": 5.0}, "without sources, and with a GSD"),
        ({"sources": ()}, {"area_km2": 5.0}, "without sources, and with a GSD"),
        ({"sources": (), "gsd_m": (10.0,)}, {"area_km2": -5.0}, "area must be a positive number; -5"),
    ],
)
def test_impossible_numbers(spec, change, more, sentence):
    with pytest.raises(EmbeddingError, match=sentence):
        estimate(replace(spec, **change), [MODEL], **more)


def test_the_command(spec, capsys):
    words = ["embed", *spec.sources, "--plan", "--model", MODEL, "--tile-px", "32", "--tiles-per-s", "7"]
    assert main([*words, "--price-per-hour", "2.5"]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert shown["tiles"].startswith("63 of 32 px over")
    assert shown["networks"] == "7.0 tiles/s by one worker, as stated"
    assert "with 1 worker" in shown["wall"] and float(shown["cost"]) >= 0.01
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tiles"] == 63
    assert main(["embed", "--plan"]) != 0
    assert "Name at least one source" in capsys.readouterr().err


def test_sizes():
    assert [size(count) for count in (12, 1234, 8.94e12, 2e16)] == ["12 bytes", "1.23 kB", "8.94 TB", "20 PB"]
