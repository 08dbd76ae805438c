"""The experiment of each paper: two training specs on the same images, and the sets their embeddings are
scored on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..engine.training.runs import TrainSpec
from ..evaluation.errors import RecipeError
from ..evaluation.plan import SCALE_SERIES
from ..models.tinymim import heads_of, named

ENCODER: dict[str, Any] = {"img_size": 64, "patch_size": 8, "embed_dim": 192, "depth": 8, "num_heads": 3}
"""The encoder that both arms of Scale-MAE and SDMAE share: that of the shipped tiny models."""
DECODER: dict[str, Any] = {"decoder_embed_dim": 128, "decoder_depth": 3, "decoder_num_heads": 4}
STUDENT: dict[str, Any] = {**ENCODER, "img_size": 112, "depth": 4, "gsd_aware": True}
"""Half a teacher's depth; img_size is the teacher's, for relations join the same grid.

Both arms are fed 64 px.
"""
PLAIN = (("centre", "dataset"),)


@dataclass(frozen=True)
class Experiment:
    """Two arms, trained with each of `seeds`.

    `readings` pairs the poolings at which ours and the other's vectors are taken.

    `gallery`: "native" if only test images are scaled, as in the Scale-MAE paper, or "scaled" for both.

    `subset`: train on that many EuroSAT pictures, which are then the gallery too; None: on all training
    imagery.
    """

    name: str
    ours: TrainSpec
    other: TrainSpec
    seeds: tuple[int, ...] = (0,)
    sets: tuple[str, ...] = ("eurosat", "ucmerced")
    scales: tuple[float, ...] = (1.0,)
    protocols: tuple[str, ...] = ("knn",)
    readings: tuple[tuple[str, str], ...] = (("cls", "cls"),)
    subset: int | None = None
    gallery: str = "native"

    @property
    def runs(self) -> int:
        """Number of training runs."""
        return 2 * len(self.seeds)

    def of(self, steps: int) -> Experiment:
        """The same with every run `steps` long."""
        changed = {"steps": steps, "warmup_steps": max(1, steps // 20)}
        return replace(self, ours=replace(self.ours, **changed), other=replace(self.other, **changed))


def experiment(
    name: str,
    *,
    teacher: str = "scale_mae_tiny",
    batch: int = 64,
    seeds: int | None = None,
    sets: tuple[str, ...] | None = None,
    gallery: str = "native",
) -> Experiment:
    """The comparison of one paper.

    `teacher` is TinyMIM's: an encoder of the registry or a file; `sets` are those to score on.

    Raises RecipeError, and what loading the teacher raises.
    """
    if name not in _EXPERIMENTS:
        raise RecipeError(f"There is no paper called {name!r:.40}: choose one of {', '.join(_EXPERIMENTS)}.")
    if name == "tinymim":
        named(teacher)  # a teacher that cannot be loaded is refused before any pack is looked for
    found = _EXPERIMENTS[name](teacher, batch)
    if seeds is not None and seeds < 1:
        raise RecipeError(f"The number of seeds must be at least 1, not {seeds}.")
    if sets and found.subset and sets != found.sets:
        raise RecipeError(f"{name} is scored on what it trained on, {found.sets[0]}: leave the sets out.")
    seed_numbers = tuple(range(seeds)) if seeds else found.seeds
    return replace(found, seeds=seed_numbers, sets=sets or found.sets, gallery=gallery)


BOTH_TARGETS: dict[str, Any] = {"sides_px": (64, 64), "targets_px": (128, 64), "side_shares": (0.5, 0.5)}
"""Half of the steps have targets of twice the side.

The other half serve EuroSAT, whose 64 px hold nothing finer.
"""


def _spec(
    name: str, model: str, batch: int, sizes: dict[str, Any], *, encoder_rate: float = 0.2, **objective: Any
) -> TrainSpec:
    """The recipe that all arms share (models.md 1.9 at a small budget): AdamW, 75 % hidden, 64 px, rate to
    0 along half a cosine.

    Of the encoder's shares 0.2 and 1, 0.2 served Scale-MAE and MAE better and 1 TinyMIM, by kNN among
    EuroSAT's training pictures after about 10,000 pictures; SDMAE takes MAE's.
    """
    return TrainSpec(
        name, model, 1, sizes=tuple(sorted({**dict(PLAIN), **sizes}.items())),
        objective=tuple(sorted(objective.items())),
        batch=batch, lr=1e-3, encoder_rate=encoder_rate, ema=0.99, checkpoint_minutes=1.0, preview_every=100,
    )  # fmt: skip


def _scale_mae(_: str, batch: int) -> Experiment:
    """Scale-MAE draws targets of twice the side; `target_scale` lets MAE see the very same pictures."""
    heads = {"head_scale": 4, "fcn_dim": 64, "fcn_layers": 1}
    ours = replace(
        _spec("scale_mae_arm", "scale_mae", batch, {**ENCODER, **DECODER, **heads}), **BOTH_TARGETS
    )
    other = replace(_spec("mae_arm", "mae", batch, {**ENCODER, **DECODER}, target_scale=2), **BOTH_TARGETS)
    return Experiment("scale_mae", ours, other, scales=SCALE_SERIES)


def _tinymim(teacher: str, batch: int) -> Experiment:
    ours = _spec(
        "tinymim_tiny",
        "tinymim",
        batch,
        {**STUDENT, "last_heads": heads_of(named(teacher).backbone, -1)},
        encoder_rate=1.0,
        teacher=teacher,
    )
    other = _spec("mae_student", "mae", batch, {**STUDENT, **DECODER})
    return Experiment(
        "tinymim",
        ours,
        other,
        protocols=("knn", "probe"),
        readings=(("block11_mean", "mean"), ("block11_cls", "cls")),
    )


def _sdmae(_: str, batch: int) -> Experiment:
    fed: dict[str, Any] = {
        "sides_px": (56,),
        "targets_px": (64,),
    }  # 7/8 of a picture, as the original's 224 of 256 px
    ours = _spec(
        "sdmae_tiny", "sdmae", batch, {**ENCODER, "decoder_num_heads": 8, "mlp_dim": 1024, "img_size": 56}
    )
    ours, other = (
        replace(spec, **fed)
        for spec in (ours, _spec("mae_2000", "mae", batch, {**ENCODER, **DECODER}, target_scale=2))
    )
    return Experiment(
        "sdmae",
        ours,
        other,
        seeds=(0, 1, 2),
        sets=("eurosat",),
        protocols=("knn", "probe"),
        readings=(("cls", "cls"), ("mean", "mean")),
        subset=2_000,
    )


_EXPERIMENTS = {"scale_mae": _scale_mae, "tinymim": _tinymim, "sdmae": _sdmae}
