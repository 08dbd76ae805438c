"""Train any network of the registry on crops of known ground sample distance: a generator of steps that
can stop, resume and be followed.

Every step is a pure function of the spec, the step's number and the state before it: crops, masks and random
views are drawn from the seed and the number. So a run killed at any moment and resumed from its last
checkpoint gives the same losses as one never interrupted.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import ExplorerError, in_brief
from ...geo.imagery import NOT_STATED, Imagery
from ...models.base import Objective, TrainingBatch
from ...models.frequency import area
from ...models.pooling import measure_vector, whitening_of
from ...models.registry import ModelCard, create, families
from ..device import device, fabric_for, suit_attention, to_device, training_precision
from .batches import Draw, draw_batch
from .optimizers import optimizers_for
from .previews import Previews
from .publish import TrainingProgress, card_beside, weights_licence, write_weights
from .runs import RunError, TrainingRun, TrainSpec, TrainStep
from .saving import in_sentences, read_state, try_to_save, write_state

LOG_EVERY = 10
VECTOR_IMAGES = 4096
"""Number of crops on which the whitened vector of a transformer is measured."""


class Training:
    """A network, its objective, optimiser and moving average, on however many processes launched it."""

    def __init__(self, spec: TrainSpec) -> None:
        self.spec, self.device = spec, device()
        self.fabric = fabric_for(self.device)
        torch.manual_seed(spec.seed)
        self.network = create(spec.model, trained=False, **dict(spec.sizes)).train()
        if wrong := [side for side in spec.sides_px if side % self.network.patch_size]:
            raise RunError(
                f"sides_px holds {wrong[0]}, which is not a multiple of the network's patch size of "
                f"{self.network.patch_size} px: change it."
            )
        family = families()[self.network.card.family]
        if family.objective is None:
            raise RunError(f"{family.name} has no objective to train it with: choose another model.")
        self.start: ModelCard | None = None
        if spec.start_from:
            self.load_weights(Path(spec.start_from))
            self.start = card_beside(Path(spec.start_from))
        self.objective: Objective = family.objective(self.network, **dict(spec.objective))
        suit_attention(self.objective, self.device)
        self.ema = torch.optim.swa_utils.AveragedModel(
            self.network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(spec.ema)
        )
        self.ema.to(self.fabric.device)
        self.wrapped, *self.optimizers = self.fabric.setup(
            self.objective, *optimizers_for(self.objective, spec, self.device)
        )
        card = self.network.card
        self.mean = torch.tensor(card.mean, device=self.fabric.device)[:, None, None]
        self.std = torch.tensor(card.std, device=self.fabric.device)[:, None, None]
        self.enlarge = self.objective.target_scale
        self.step, self.seen, self.restarts, self.hours = 0, 0, 0, 0.0
        self.licences: dict[str, str] = {}

    def load_weights(self, path: Path) -> None:
        """Start from weights alone (float16 safetensors).

        The optimiser's moments are rebuilt during the warm-up.
        """
        from ...models.checkpoints.files import read_checkpoint

        try:
            missing, left = self.network.load_state_dict(read_checkpoint(path).tensors, strict=False)
        except RuntimeError as problem:  # a tensor of another shape
            raise RunError(
                f"{path.name} does not match {self.spec.model}: "
                f"set the sizes that it was trained with ({in_brief(problem)})."
            ) from problem
        missing = [key for key in missing if not key.endswith("pos_embed") and "whitening." not in key]
        if left or missing:
            raise RunError(
                f"{path.name} does not match {self.spec.model}: "
                f"missing {missing[:3]}, unexpected {left[:3]}. Choose another file or model."
            )

    def learning_rate(self) -> float:
        """Linear rise, then half a cosine down to `floor` (models.md 1.9)."""
        spec = self.spec
        rise = min(1.0, (self.step + 1) / max(1, spec.warmup_steps))
        through = max(0.0, self.step - spec.warmup_steps) / max(1, spec.steps - spec.warmup_steps)
        return (
            spec.lr
            * rise
            * (spec.floor + (1 - spec.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, through))))
        )

    def advance(self, draw: Draw) -> dict[str, float]:
        """One optimiser step; named losses."""
        torch.manual_seed(self.spec.seed * 1_000_003 + self.step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate() * group["share"]
        batch, keep = self._on_device(draw)
        with training_precision(self.device):
            losses = self.wrapped(batch, keep)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise RunError(
                f"The loss is not a number at step {self.step}: "
                f"lower lr (now {self.spec.lr:g}) and start again from the last checkpoint."
            )
        self.wrapped.zero_grad(set_to_none=True)
        self.fabric.backward(total)
        if self.spec.clip:
            torch.nn.utils.clip_grad_norm_(self.objective.parameters(), self.spec.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        self.ema.update_parameters(self.network)
        self.step += 1
        self.seen += len(draw.pixels) * self.fabric.world_size
        return {name: float(value.detach()) for name, value in losses.items()}

    def _on_device(self, draw: Draw) -> tuple[TrainingBatch, Tensor]:
        targets = (to_device(draw.pixels, self.device).float() / 255 - self.mean) / self.std
        images = area(targets, draw.side_px) if targets.shape[-1] != draw.side_px else targets
        return TrainingBatch(images, targets, to_device(draw.res, self.device)), to_device(
            draw.keep, self.device
        )

    def finish(self, imagery: tuple[Imagery, ...]) -> None:
        """Measure statistics of the objective, or of the network's vector, on crops that no step uses."""
        first = self.spec.steps
        network: Any = self.ema.module if self.step else self.network
        count = self.objective.measured or (VECTOR_IMAGES if whitening_of(self.network) else 0)
        if not count:
            return
        steps = range(first, first + -(-count // self.spec.batch))
        draws = (
            draw_batch(self.spec, imagery, self.network.patch_size, self.enlarge, step) for step in steps
        )
        training = network.training
        batches = (self._on_device(draw)[0] for draw in draws)
        if self.objective.measured:
            self.objective.finish(network.eval(), batches)
        else:
            measure_vector(network.eval(), batches)
        network.train(training)

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs."""
        return {
            "objective": self.objective.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seen": self.seen,
            "restarts": self.restarts,
            "hours": self.hours,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken."""
        self.objective.load_state_dict(state["objective"])
        self.ema.load_state_dict(state["ema"])
        for optimizer, held in zip(
            self.optimizers, state.get("optimizers") or [state["optimizer"]], strict=True
        ):
            optimizer.load_state_dict(held)
        self.step, self.seen, self.hours = state["step"], state["seen"], state["hours"]
        self.restarts = state["restarts"] + 1


def train(
    spec: TrainSpec,
    folder: Path,
    imagery: tuple[Imagery, ...],
    *,
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> Iterator[TrainStep]:
    """Run `spec` in `folder` to its last step, yielding every step.

    Resumes from the folder's checkpoint where there is one.

    Ends early, after saving, when the run is asked to stop (`Run.ask_to_stop`, or `asked_to_stop` of the
    caller). A checkpoint that cannot be written is tried again a minute later; only at the end is it an
    error, which leaves the last one whole. Raises RunError where the folder belongs to another spec or cannot
    be written, the network cannot be built or does not fit into memory, the loss is not finite, or a
    checkpoint cannot be read.
    """
    run = TrainingRun(folder)
    with in_sentences(folder):
        run.open(spec)
        run.open_data(imagery)
        training = _built(spec)
        training.licences = {source.name: source.licence for source in imagery}
        if spec.start_from:
            start = training.start.weights if training.start else None
            training.licences["the weights it started from"] = start.licence if start else NOT_STATED
        main = training.fabric.is_global_zero
        with run.claimed() if main else nullcontext():
            if run.state_file.is_file():
                _restore(training, run)
                if main:
                    run.truncate_log(training.step)
            yield from _steps(training, run, imagery, main, asked_to_stop)


def _built(spec: TrainSpec) -> Training:
    try:
        return Training(spec)
    except ExplorerError:
        raise
    except (TypeError, ValueError, ArithmeticError, AssertionError, AttributeError, LookupError) as problem:
        raise RunError(
            f"{spec.model} cannot be built from this spec ({in_brief(problem)}): "
            "correct [sizes] or [objective]."
        ) from problem


def _restore(training: Training, run: TrainingRun) -> None:
    try:
        training.restore(read_state(run.state_file))
    except (
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
    ) as problem:  # written by another version of the program
        raise RunError(
            f"The checkpoint {run.state_file} does not fit this run ({in_brief(problem)}): "
            "remove it to start again."
        ) from problem


def _steps(
    training: Training,
    run: TrainingRun,
    imagery: tuple[Imagery, ...],
    main: bool,
    asked_to_stop: Callable[[], bool],
) -> Iterator[TrainStep]:
    spec, fabric = training.spec, training.fabric
    patch = training.network.patch_size
    saved_at = began = time.monotonic()
    hours_before = training.hours
    pace: deque[tuple[float, int]] = deque([(began, training.seen)], maxlen=50)
    previews = Previews(imagery, max(spec.sides_px), spec.policy, run.previews)

    def draw_step(step: int) -> Draw:
        return draw_batch(
            spec, imagery, patch, training.enlarge, step, fabric.global_rank, fabric.world_size, workers
        )

    with ThreadPoolExecutor(1) as loader, ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as workers:
        ahead = deque(loader.submit(draw_step, training.step + i) for i in range(3))
        try:
            while training.step < spec.steps:
                losses = training.advance(ahead.popleft().result())
                ahead.append(loader.submit(draw_step, training.step + 2))
                now = time.monotonic()
                training.hours = hours_before + (now - began) / 3600
                pace.append((now, training.seen))
                stopping = _agreed(fabric, run.asked_to_stop or asked_to_stop())
                last = training.step >= spec.steps or stopping
                due = last or now - saved_at > 60 * spec.checkpoint_minutes
                unsaved = ""
                if due and main:
                    training.finish(imagery)
                    unsaved = try_to_save(lambda: save(training, run), run, last=last)
                    saved_at = time.monotonic() - (
                        60 * max(0.0, spec.checkpoint_minutes - 1) if unsaved else 0
                    )
                step = _train_step(training, losses, pace, due and not unsaved, unsaved)
                previewed = training.step % spec.preview_every == 0 or training.step == spec.steps
                if main and (training.step % LOG_EVERY == 0 or due or previewed):
                    with suppress(OSError):  # a full disk costs a row of the log, not the run
                        progress = (
                            previews.write(training.ema.module, training.device, training.step)
                            if previewed
                            else None
                        )
                        run.append(_row(step, training.hours) | (asdict(progress) if progress else {}))
                yield step
                if stopping:
                    return
        finally:
            for waiting in ahead:
                waiting.cancel()


def _agreed(fabric: Any, stopping: bool) -> bool:
    """Whether any of the processes is asked to stop: all of them must end after the same step."""
    if fabric.world_size == 1:
        return stopping
    return bool(fabric.all_reduce(torch.tensor(float(stopping), device=fabric.device), reduce_op="sum"))


def _train_step(
    training: Training, losses: dict[str, float], pace: deque[tuple[float, int]], saved: bool, unsaved: str
) -> TrainStep:
    (t0, n0), (t1, n1) = pace[0], pace[-1]
    rate = (n1 - n0) / max(t1 - t0, 1e-9)
    steps_per_s = (len(pace) - 1) / max(t1 - t0, 1e-9)
    left = (training.spec.steps - training.step) / max(steps_per_s, 1e-9)
    return TrainStep(
        training.step,
        training.spec.steps,
        training.seen,
        losses,
        sum(losses.values()),
        float(training.learning_rate()),
        rate,
        left,
        saved,
        unsaved,
    )


def _row(step: TrainStep, hours: float) -> dict[str, Any]:
    return {
        "step": step.step,
        "seen": step.seen,
        "loss": step.loss,
        "losses": step.losses,
        "lr": step.lr,
        "images_per_s": round(step.images_per_s, 1),
        "hours": round(hours, 4),
    }


def save(training: Training, run: TrainingRun) -> None:
    """Write the checkpoint, then the averaged weights with their card, each in one step."""
    write_state(run.state_file, training.state())
    network = training.ema.module if training.step else training.network
    licence = weights_licence(training.licences, training.objective.teacher_licence)
    progress = TrainingProgress(
        training.seen, training.step, training.hours, training.restarts, licence, training.start
    )
    write_weights(run, training.spec, network, training.network.card, progress)
