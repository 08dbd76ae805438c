"""The panel My imagery without a browser: the preview, and starting a job."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.test_globe import PAGE, no_exception, text_of
from ui.shell import job_queue, jobs

Open = Callable[..., AppTest]


@pytest.mark.usefixtures("data")
def test_several_models_are_started_as_one_job(
    open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "JOBS", tmp_path / "jobs")
    monkeypatch.setattr(job_queue, "start_queue", lambda: None)
    app = no_exception(open_page(PAGE, tab="My imagery"))
    assert app.metric[0].label == "Tiles"
    no_exception(app.multiselect(key="w:imagery models").set_value(["mae_tiny", "scale_mae_tiny"]).run())
    assert app.metric[0].label == "Tiles, for each of 2 models"
    assert "--model mae_tiny scale_mae_tiny" in app.code[0].value
    no_exception(next(button for button in app.button if button.label == "Start embedding").click().run())
    (folder,) = (tmp_path / "jobs").glob("*/*/job.json")
    job = jobs.Job(folder.parent)
    assert [Path(model).stem for model in job.models] == ["mae_tiny", "scale_mae_tiny"]
    assert "mae_tiny, scale_mae_tiny" in text_of(app)


@pytest.mark.usefixtures("data")
def test_no_model_means_the_default_model(open_page: Open) -> None:
    app = no_exception(open_page(PAGE, tab="My imagery"))
    default = app.code[0].value
    no_exception(app.multiselect(key="w:imagery models").set_value([]).run())
    assert app.code[0].value == default
