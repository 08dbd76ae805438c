"""The experiments of the papers with the bundled networks."""

from core.models import create
from core.models.tinymim import TinyMIMObjective
from core.papers.experiments import experiment


def test_the_default_teacher_fits_the_student() -> None:
    arm = experiment("tinymim").ours
    network = create(arm.model, **dict(arm.sizes))
    TinyMIMObjective(network, **dict(arm.objective))  # compares heads and grids, and raises
