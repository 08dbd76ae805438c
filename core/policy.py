"""How ground sample distance becomes `res`, the number that the positional code of a network receives.

`gsd_m` is metadata: what a pixel measures on the ground, in metres. `res` is an input of the network. They are two quantities,
joined by a policy with a name. The paper's wording, the authors' evaluation code and their training each imply another one
(docs/models.md), so the choice is never silent.
"""

import math
from dataclasses import dataclass

from .errors import ExplorerError
from .units import metres

POLICIES: dict[str, str] = {
    "native_gsd": "res is the GSD in metres, as the Scale-MAE paper words it; meaningful to about 30 m",
    "author_eval": "res is 224 / input size, as in the authors' kNN code; the GSD plays no part",
    "training_range": "res is 2.5 x GSD / the source's native GSD, kept within the range that the weights were trained on",
    "log_gsd": "res grows with the logarithm of the GSD, from decimetres to kilometres",
    "manual": "res is the number that you give",
}

LOG_GSD_M = (0.1, 10_000.0)
"""The GSDs in metres at which `log_gsd` reaches the ends of its range."""

MEANINGFUL_RES = 30.0
"""Beyond it, neighbouring positions of a 192-wide code have little in common: cosine 0.97 at res 1, 0.67 at 10, 0.30 at 300."""

MAX_RES = 1e6


class PolicyError(ExplorerError):
    """A policy that gives no `res`; the message says what to choose instead."""


@dataclass(frozen=True)
class Policy:
    """Names the way from GSD to res; `value` is the res of `manual` and nothing elsewhere. Raises PolicyError."""

    name: str = "native_gsd"
    value: float | None = None

    def __post_init__(self) -> None:
        if self.name not in POLICIES:
            raise PolicyError(
                f"There is no policy called {self.name!r:.40}; choose one of {', '.join(POLICIES)}."
            )
        if self.name != "manual":
            object.__setattr__(self, "value", None)
        elif (
            isinstance(self.value, bool)
            or not isinstance(self.value, int | float)
            or not 0 < self.value <= MAX_RES
        ):
            raise PolicyError(
                f"The policy manual needs a res above 0, such as manual-2.5; {self.value!r:.40} is none."
            )


def res_for(
    policy: Policy,
    *,
    gsd_m: float,
    input_px: int,
    native_gsd_m: float | None = None,
    res_range: tuple[float, float] | None = None,
    log_range: tuple[float, float] = (0.5, 8.0),
) -> float:
    """Give the res that a network receives for a picture.

    gsd_m: metres per pixel as fed, after resampling. native_gsd_m: of the source, before it (None: as fed). input_px: side of the
    picture as fed. res_range: what the weights were trained on, from their card; None: unknown, nothing is clipped. log_range: res
    at 0.1 m and at 10 km under `log_gsd`. Raises PolicyError when a GSD is not a number above zero.
    """
    native_gsd_m = gsd_m if native_gsd_m is None else native_gsd_m
    if not (0 < gsd_m < math.inf and 0 < native_gsd_m < math.inf):
        raise PolicyError(
            f"A pixel cannot measure {metres(gsd_m)} on the ground; state a GSD above zero, such as 10."
        )
    match policy.name:
        case "native_gsd":
            return float(gsd_m)
        case "author_eval":
            return 224 / input_px
        case "training_range":
            low, high = res_range or (0.0, math.inf)
            return min(max(2.5 * gsd_m / native_gsd_m, low), high)
        case "log_gsd":
            low, high = (math.log(limit) for limit in LOG_GSD_M)
            share = (math.log(gsd_m) - low) / (high - low)
            return log_range[0] + (log_range[1] - log_range[0]) * min(max(share, 0.0), 1.0)
        case _:
            assert policy.value is not None  # the spec refuses a manual policy without its number
            return float(policy.value)


def warning_for(policy: Policy, res: float, res_range: tuple[float, float] | None) -> str | None:
    """Say in one sentence why this res may not mean what the user expects; None where nothing is known against it."""
    if res_range is not None and not res_range[0] * 0.999 <= res <= res_range[1] * 1.001:
        low, high = res_range
        return f"These weights saw res {low:.3g} to {high:.3g} in training and now get {res:.3g}; the policy training_range stays within."
    if policy.name == "native_gsd" and res > MEANINGFUL_RES:
        return (
            f"At {metres(res)} per pixel the positional code of native_gsd turns so fast that neighbouring patches look unrelated "
            f"to the network (it means something to about {metres(MEANINGFUL_RES)}); try log_gsd or training_range."
        )
    return None


def policy_to_text(policy: Policy) -> str:
    """Write a policy in URL-safe characters: its name, and for manual its number, as `manual-2.5`."""
    return policy.name if policy.value is None else f"{policy.name}-{policy.value!r}"


def policy_from_text(text: str) -> Policy:
    """Read what `policy_to_text` wrote. Raises PolicyError."""
    name, _, number = text.partition("-")
    try:
        return Policy(name, float(number) if number else None)
    except ValueError:
        raise PolicyError(f"The res in {text!r:.40} is not a number; write it like manual-2.5.") from None
