"""Hostile label files: each is refused with a clear error, in little time and memory."""

import pytest

from core.atlas.labelling.reading import read_labels
from tests.hostile_labels import labels
from tests.test_hostile import refused

LABELS = labels()


@pytest.mark.parametrize("name", LABELS)
def test_a_hostile_label_file_is_refused(name):
    refused(lambda: read_labels(LABELS[name], f"../{name[:20]}.geojson"))
