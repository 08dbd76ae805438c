"""Recipes: every setting that determines a result, as a frozen spec that is saved to a file and run again."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..policy import is_clipped, policy_from_text
from ..untrusted.text import MAX_BYTES, parse
from .bounds import check_settings
from .data.published import PublishedSet
from .errors import RecipeError

PROTOCOL_LABELS = {
    "reconstruction": "reconstruction",
    "gsd": "GSD sensitivity",
    "knn": "kNN",
    "probe": "linear probe",
    "few-shot": "few-shot",
    "sweep": "scale series",
    "segmentation": "segmentation",
}
"""Protocols by their name in recipes and results, each with the label that people see."""
PROTOCOLS = tuple(PROTOCOL_LABELS)
UPERNET_FROZEN = "UperNet on frozen blocks"
UPERNET_TUNED = "UperNet, fine-tuned with the encoder"
VERSION = 1
"""Raised when the same recipe gives another result; results cached under an older version are recomputed."""
MEAN_OF = "mean of "
"""Start of the `data` of a mean over sets."""


@dataclass(frozen=True)
class EvaluationRecipe:
    """The recipe of one result.

    Fields that its protocol does not use are None, and left out of files and hashes.

    `scale` is relative to the native size: images are area-resized to `scaled_px`, then to `size_px` if whole
    patches need it. `res` is the value that the positional encoding receives under `policy`. `weights` is a
    SHA-256, "untrained" or "none". `gsd_m` is the GSD of a pixel as fed; `stated_gsd_m` that of a native
    pixel if the user gave it, None if the set states it. `gallery` is "native" if only the test images are
    scaled: train images are then fed at `gallery_px` with `gallery_res`. None: both are scaled alike.
    """

    protocol: str
    data: str
    data_hash: str
    model: str
    weights: str
    scale: float = 1.0
    native_px: int | None = None
    scaled_px: int | None = None
    size_px: int | None = None
    interpolation: str = "area"
    normalisation: str = "card"
    gsd_m: float | None = None
    stated_gsd_m: float | None = None
    policy: str | None = None
    res: float | None = None
    pooling: str | None = None
    split: str | None = None
    limit: int | None = None
    seed: int = 0
    k: int | None = None
    tau: float | None = None
    overwrite_batch: int | None = None
    shots: int | None = None
    draws: int | None = None
    mask: str | None = None
    ratio: float | None = None
    crops: int | None = None
    head: str | None = None
    steps: int | None = None
    gallery: str | None = None
    gallery_px: int | None = None
    gallery_res: float | None = None
    version: int = VERSION

    def plain(self) -> dict[str, Any]:
        """Return the used fields as plain values, in order."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def scored_as(self) -> EvaluationRecipe:
        """The recipe under which the result is cached: a scale series ("sweep") consists of kNN results."""
        return replace(self, protocol="knn") if self.protocol == "sweep" else self

    @property
    def gallery_label(self) -> str | None:
        """ "native" or "scaled" for what train images were at a reduced scale, None at full size."""
        return None if self.scale == 1 or self.scaled_px is None else self.gallery or "scaled"

    @property
    def of_gallery(self) -> EvaluationRecipe:
        """The recipe under which the train images are embedded if `gallery` is "native"."""
        return replace(
            self, scale=1.0, scaled_px=self.native_px, size_px=self.gallery_px, res=self.gallery_res,
            gallery=None, gallery_px=None, gallery_res=None,
        )  # fmt: skip

    @property
    def res_is_clipped(self) -> bool:
        """Whether `res` is at the end of its policy's range, so that other scales get the same res."""
        if self.policy is None or self.res is None or not (self.native_px and self.size_px):
            return False
        ratio = self.native_px / self.size_px
        policy = policy_from_text(self.policy)
        if self.gsd_m is None:
            return policy.name == "training_range" and is_clipped(
                policy, self.res, gsd_m=ratio, native_gsd_m=1.0
            )
        return is_clipped(policy, self.res, gsd_m=self.gsd_m, native_gsd_m=self.gsd_m / ratio)

    @property
    def is_mean(self) -> bool:
        """Whether this is a mean over sets, which cannot be run again itself."""
        return self.data.startswith(MEAN_OF)

    @property
    def key(self) -> str:
        """Hash of the recipe (24 hexadecimal digits), which names its cached result."""
        return hashlib.sha256(json.dumps(self.plain(), sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class AuthorRecipe:
    """Settings that the authors of a model used on a set; `size_px` is None for the native size."""

    size_px: int | None
    res: float
    note: str


def author_recipe(name: str, known: PublishedSet | None) -> AuthorRecipe:
    """Return the recipe "author" (native size, res 1) or "author_224" (224 px, res 1); models.md 1.12."""
    if name == "author":
        res = known.author_res if known is not None and known.author_res is not None else 1.0
        return AuthorRecipe(
            None,
            res,
            "native size, area interpolation, CLS; res 1.0, EuroSAT 3.5 (torchgeo-bench, with an author)",
        )
    if name == "author_224":
        return AuthorRecipe(
            224, 1.0, "area-resized to 224 px, res 1.0, CLS (official issue #1: 0.9605 on EuroSAT)"
        )
    raise RecipeError(f"There is no authors' recipe '{name}'; choose author or author_224.")


def write_recipe(recipe: EvaluationRecipe, path: Path) -> None:
    """Write a recipe as TOML or JSON, by the file's suffix, atomically."""
    from ..files import write_atomic

    if path.suffix == ".toml":
        text = recipe_toml(recipe)
    elif path.suffix == ".json":
        text = json.dumps(recipe.plain(), indent=2) + "\n"
    else:
        raise RecipeError(f"A recipe file must end in .toml or .json, not '{path.name}'; rename it.")
    write_atomic(path, text.encode())


def recipe_toml(recipe: EvaluationRecipe) -> str:
    """Return a recipe as the text of a TOML file."""
    return "".join(f"{name} = {_toml(value)}\n" for name, value in recipe.plain().items())


def read_recipe(path: Path) -> EvaluationRecipe:
    """Read a recipe file. Raises RecipeError that names the unknown, missing or invalid setting."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # parse() refuses more than MAX_BYTES
    except OSError as problem:
        raise RecipeError(
            f"The recipe '{path.name}' cannot be read ({problem.strerror}); give the path of a recipe file."
        ) from problem
    return parse_recipe(content, path.name)


def parse_recipe(content: bytes, name: str) -> EvaluationRecipe:
    """Parse the content of a recipe file, JSON if its name ends in .json, else TOML. Raises RecipeError."""
    plain = parse(content, name, "json" if name.lower().endswith(".json") else "toml", RecipeError)
    if isinstance(plain, dict) and isinstance(plain.get("recipe"), dict):
        plain = plain["recipe"]  # a result that contains its recipe
    if not isinstance(plain, dict):
        raise RecipeError(f"'{name}' is not a table of settings; write a recipe with --out.")
    return recipe_from(plain, name)


def recipe_from(plain: dict[str, Any], origin: str) -> EvaluationRecipe:
    """Make a recipe of plain values.

    Raises RecipeError for unknown, missing, mistyped or invalid settings.
    """
    kinds = {field.name: str(field.type) for field in fields(EvaluationRecipe)}
    unknown = sorted(set(plain) - set(kinds))
    if unknown:
        raise RecipeError(
            f"'{origin}' has the unknown setting '{unknown[0]:.80}'; the known ones are {', '.join(kinds)}."
        )
    missing = [name for name in ("protocol", "data", "data_hash", "model", "weights") if name not in plain]
    if missing:
        raise RecipeError(f"'{origin}' lacks '{missing[0]}'; add it, or write a complete recipe with --out.")
    values = {name: _checked(name, value, kinds[name], origin) for name, value in plain.items()}
    recipe = EvaluationRecipe(**values)
    if recipe.protocol not in PROTOCOLS:
        raise RecipeError(
            f"'{origin}' asks for the protocol '{recipe.protocol:.80}'; choose one of {', '.join(PROTOCOLS)}."
        )
    if recipe.version != VERSION:
        raise RecipeError(
            f"'{origin}' has recipe version {recipe.version}, but this program uses {VERSION}; "
            "evaluate again and write a new recipe with --out."
        )
    if recipe.gallery not in (None, "native"):
        raise RecipeError(
            f"'{origin}' sets gallery to '{recipe.gallery:.80}'; write native, or leave it out."
        )
    check_settings(
        seed=recipe.seed, steps=recipe.steps, k=recipe.k, tau=recipe.tau,
        overwrite_batch=recipe.overwrite_batch,
        shots=recipe.shots, draws=recipe.draws, size_px=recipe.size_px, gsd_m=recipe.stated_gsd_m,
    )  # fmt: skip
    return recipe


def differences(requested: EvaluationRecipe, actual: EvaluationRecipe) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two recipes differ: name -> (requested, actual)."""
    a, b = asdict(requested), asdict(actual)
    return {name: (a[name], b[name]) for name in a if a[name] != b[name]}


def _toml(value: str | float) -> str:
    """Return a value in TOML syntax. JSON's would write letters beyond the basic plane as two escapes.

    Bytes in a file name that do not decode to text become question marks.
    """
    text = json.dumps(value, ensure_ascii=False).encode(errors="replace").decode()
    return text.replace("\x7f", "\\u007f")


def _checked(name: str, value: Any, kind: str, origin: str) -> Any:
    if "str" in kind:
        good = isinstance(value, str)
    elif "float" in kind:
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        value = float(value) if good else value
    else:
        good = isinstance(value, int) and not isinstance(value, bool)
    if not good:
        raise RecipeError(
            f"'{origin}' sets {name} to {value!r:.80}; it must be {'text' if 'str' in kind else 'a number'}."
        )
    return value
