"""Policies: how the ground sample distance (GSD) becomes `res`, the input of a positional encoding.

`gsd_m` is metadata: the metres that a pixel covers on the ground. `res` is an input of the network. The
Scale-MAE paper, the authors' evaluation code and their training code each derive one from the other
differently (docs/models.md), so the choice is explicit and has a name. Each policy is one function and one
entry in `POLICIES`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from .errors import ExplorerError
from .units import metres

LOG_GSD_M = (0.1, 10_000.0)
"""The GSDs in metres at which `log_gsd` reaches the ends of its range."""

MEANINGFUL_RES = 30.0
"""The largest res at which neighbouring positions of a 192-wide encoding are still similar.

Their cosine similarity is 0.97 at res 1, 0.67 at 10 and 0.30 at 300.
"""

MAX_RES = 1e6

NOMINAL_RES = 2.5
"""The res that `training_range` gives an image at its native GSD."""


class PolicyError(ExplorerError):
    """An invalid policy, or one that cannot give a `res`; the message says what to choose instead."""


@dataclass(frozen=True)
class ScaleInput:
    """Everything that a policy may use, as described at `res_for`."""

    gsd_m: float
    native_gsd_m: float
    input_px: int
    res_range: tuple[float, float] | None
    log_range: tuple[float, float]
    value: float | None


@dataclass(frozen=True)
class PolicyKind:
    """One policy, as pages, links and the command line offer it.

    label: its name in a menu. summary: what it does, in words. res: the formula. needs_gsd: whether res
    depends on metres per pixel, not only on a ratio of two GSDs. takes_value: whether the user gives a
    number.
    """

    label: str
    summary: str
    res: Callable[[ScaleInput], float]
    needs_gsd: bool = True
    takes_value: bool = False


def _native_gsd(scale: ScaleInput) -> float:
    return float(scale.gsd_m)


def _author_eval(scale: ScaleInput) -> float:
    return 224 / scale.input_px


def _training_range(scale: ScaleInput) -> float:
    low, high = scale.res_range or (0.0, math.inf)
    return min(max(NOMINAL_RES * scale.gsd_m / scale.native_gsd_m, low), high)


def _log_gsd(scale: ScaleInput) -> float:
    low, high = (math.log(limit) for limit in LOG_GSD_M)
    share = (math.log(scale.gsd_m) - low) / (high - low)
    first, last = scale.log_range
    return first + (last - first) * min(max(share, 0.0), 1.0)


def _manual(scale: ScaleInput) -> float:
    assert scale.value is not None  # Policy checks it
    return float(scale.value)


POLICIES: dict[str, PolicyKind] = {
    "native_gsd": PolicyKind(
        "GSD in metres (the paper)",
        "res is the GSD in metres, as the Scale-MAE paper words it; meaningful up to about 30 m",
        _native_gsd,
    ),
    "author_eval": PolicyKind(
        "224 / input size (authors' kNN)",
        "res is 224 / input size, as in the authors' kNN code; the GSD is ignored",
        _author_eval,
        needs_gsd=False,
    ),
    "training_range": PolicyKind(
        "Relative, as in training",
        "res is 2.5 x GSD / native GSD of the source, limited to the range that the weights were trained on",
        _training_range,
        needs_gsd=False,
    ),
    "log_gsd": PolicyKind(
        "Logarithm of the GSD",
        "res grows with the logarithm of the GSD, from decimetres to kilometres",
        _log_gsd,
    ),
    "manual": PolicyKind(
        "My own number", "res is the number that you give", _manual, needs_gsd=False, takes_value=True
    ),
}
"""Every policy by its name in links, recipes and the command line."""


@dataclass(frozen=True)
class Policy:
    """A policy by name, with the res of `manual` as `value` (None for every other policy).

    Raises PolicyError.
    """

    name: str = "native_gsd"
    value: float | None = None

    def __post_init__(self) -> None:
        kind = _kind(self.name)
        if not kind.takes_value:
            object.__setattr__(self, "value", None)
        elif (
            isinstance(self.value, bool)
            or not isinstance(self.value, int | float)
            or not 0 < self.value <= MAX_RES
        ):
            raise PolicyError(
                f"The policy {self.name} needs a res from 0 to {MAX_RES:,.0f}, such as {self.name}-2.5; "
                f"{self.value!r:.40} is not."
            )


def _kind(name: str) -> PolicyKind:
    if name not in POLICIES:
        raise PolicyError(f"There is no policy {name!r:.40}: choose one of {', '.join(POLICIES)}.")
    return POLICIES[name]


def res_for(
    policy: Policy,
    *,
    gsd_m: float,
    input_px: int,
    native_gsd_m: float | None = None,
    res_range: tuple[float, float] | None = None,
    log_range: tuple[float, float] = (0.5, 8.0),
) -> float:
    """Return the res that a network receives for an image.

    gsd_m: metres per pixel as fed, after resampling. native_gsd_m: metres per pixel of the source (None: as
    fed). input_px: side of the image as fed. res_range: the res that the weights were trained on, from their
    model card (None: unknown, no limit). log_range: res at 0.1 m and at 10 km under `log_gsd`. Raises
    PolicyError when a GSD is not a number above 0, or the policy is unknown.
    """
    native_gsd_m = gsd_m if native_gsd_m is None else native_gsd_m
    if not (0 < gsd_m < math.inf and 0 < native_gsd_m < math.inf):
        raise PolicyError(
            f"The GSD must be above zero; {metres(gsd_m)} is not: state the metres per pixel, such as 10."
        )
    scale = ScaleInput(gsd_m, native_gsd_m, input_px, res_range, log_range, policy.value)
    return _kind(policy.name).res(scale)


def is_clipped(policy: Policy, res: float, *, gsd_m: float, native_gsd_m: float) -> bool:
    """Return whether `res` is at the end of its range, so that images at other GSDs get the same res."""
    if policy.name == "training_range":
        return not math.isclose(res, NOMINAL_RES * gsd_m / native_gsd_m, rel_tol=1e-6)
    return policy.name == "log_gsd" and not LOG_GSD_M[0] <= gsd_m <= LOG_GSD_M[1]


def res_text(policy: Policy, res: float, *, gsd_m: float, native_gsd_m: float) -> str:
    """Return a res as captions show it: "2.5", or "4.98, clipped" at the end of its policy's range."""
    clipped = is_clipped(policy, res, gsd_m=gsd_m, native_gsd_m=native_gsd_m)
    return f"{res:.3g}{', clipped' if clipped else ''}"


def warning_for(policy: Policy, res: float, res_range: tuple[float, float] | None) -> str | None:
    """Return a warning about a res outside what the weights or the encoding can handle, or None."""
    if res_range is not None and not res_range[0] * 0.999 <= res <= res_range[1] * 1.001:
        low, high = res_range
        return (
            f"These weights were trained on res {low:.3g} to {high:.3g} and now receive {res:.3g}: "
            "the policy training_range stays within that range."
        )
    if policy.name == "native_gsd" and res > MEANINGFUL_RES:
        return (
            f"At {metres(res)} per pixel, native_gsd gives neighbouring patches unrelated encodings "
            f"(it works up to about {metres(MEANINGFUL_RES)}): try log_gsd or training_range."
        )
    return None


def policy_to_text(policy: Policy) -> str:
    """Write a policy as URL-safe text: its name, with the number for manual, such as `manual-2.5`."""
    return policy.name if policy.value is None else f"{policy.name}-{policy.value!r}"


def policy_from_text(text: str) -> Policy:
    """Parse the text form of a policy. Raises PolicyError."""
    name, _, number = text.partition("-")
    try:
        return Policy(name, float(number) if number else None)
    except ValueError:
        raise PolicyError(f"The res in {text!r:.40} is not a number; write it like manual-2.5.") from None
