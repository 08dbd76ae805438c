"""Published image sets: names, layouts as distributed, native size, GSD and colour statistics.

Means and standard deviations are those of models.md 1.8 (from the Scale-MAE evaluation), nominal GSDs those
of 2.2. Nothing is downloaded: users put the sets into a data folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

RGB = tuple[float, float, float]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class PublishedSet:
    """A published set: its possible places in a data folder, and the properties of its images."""

    name: str
    title: str
    found_as: tuple[str, ...]  # folders or zips, tried in this order in every data folder
    native_px: int
    gsd_m: float | None  # nominal; None if the set mixes scales
    classes: int | None = None
    mean: RGB | None = None
    std: RGB | None = None
    author_res: float | None = None  # res of the authors' recipe if published (models.md 1.12)
    full_scale_px: int | None = None  # side that counts as 100 %, if the authors reduce images first (2.1)
    aliases: tuple[str, ...] = ()  # other names in use, beside its title
    licence: str = "see its publisher"
    list_names: tuple[str, ...] = ()  # other names of its split lists
    packed: str | None = None
    """Digest of labels and splits in our pack of it; left out of its fingerprint, as in the first version."""


PUBLISHED: dict[str, PublishedSet] = {
    entry.name: entry
    for entry in (
        PublishedSet(
            "eurosat",
            "EuroSAT RGB",
            (
                "eurosat_rgb.zip",
                "EuroSAT_RGB",
                "EuroSAT_RGB.zip",
                "EuroSAT.zip",
                "EuroSAT/2750",
                "EuroSAT",
                "eurosat",
                "2750",
            ),
            64,
            10.0,
            10,
            (0.34437, 0.38029, 0.40778),
            (0.20369, 0.13664, 0.11484),
            author_res=3.5,
            licence="MIT; contains Copernicus Sentinel data",
            packed="f6a8a64d9788745e",
        ),
        PublishedSet(
            "ucmerced",
            "UC Merced Land Use",
            (
                "ucmerced.zip",
                "UCMerced_LandUse/Images",
                "UCMerced_LandUse.zip",
                "UCMerced_LandUse",
                "ucmerced",
            ),
            256,
            0.3048,
            21,
            (0.4842, 0.4901, 0.4505),
            (0.2180, 0.2021, 0.1958),
            licence="USGS imagery, public domain",
            list_names=("uc_merced",),
            packed="e0a62053789861b7",
        ),
        PublishedSet(
            "harvey",
            "Harvey damage, Houston",
            ("harvey_houston.zip", "harvey_houston", "harvey"),
            128,
            0.46,
            2,
            licence="CC BY-NC 4.0: evaluation only",
            packed="2f056eb9698a8b9b",
        ),
        PublishedSet(
            "resisc45",
            "NWPU-RESISC45",
            ("NWPU-RESISC45", "NWPU-RESISC45.zip", "RESISC45", "resisc45"),
            256,
            None,
            45,
            (0.368, 0.381, 0.3436),
            (0.2035, 0.1854, 0.1849),
            list_names=("resisc",),
            aliases=("resisc", "nwpu"),
        ),
        PublishedSet(
            "whu_rs19",
            "WHU-RS19",
            ("WHU-RS19", "WHU-RS19.zip", "WHU_RS19", "RSDataset", "whu_rs19"),
            600,
            0.5,
            19,
            (0.42647, 0.44830, 0.40256),
            (0.24204, 0.21878, 0.22890),
            full_scale_px=256,
            aliases=("whu19",),
        ),
        PublishedSet("aid", "AID", ("AID", "AID.zip", "AID_dataset", "aid"), 600, None, 30),
        PublishedSet(
            "optimal31",
            "OPTIMAL-31",
            ("OPTIMAL-31/Images", "OPTIMAL-31", "OPTIMAL-31.zip", "optimal31"),
            256,
            None,
            31,
            (0.36884, 0.38078, 0.33778),
            (0.20127, 0.18058, 0.17759),
        ),
        PublishedSet(
            "mlrsnet",
            "MLRSNet",
            ("MLRSNet/Images", "MLRSNet", "MLRSNet.zip", "mlrsnet"),
            256,
            None,
            46,
            (0.4002, 0.4116, 0.3874),
            (0.2107, 0.1915, 0.1940),
        ),
        PublishedSet(
            "airound",
            "AiRound (aerial)",
            ("AiRound/aerial", "airound/aerial", "AiRound", "airound"),
            496,
            None,
            11,
            (0.4015, 0.4149, 0.3817),
            (0.2340, 0.2096, 0.2124),
            list_names=("aerial",),
        ),
        PublishedSet(
            "cvbrct",
            "CV-BrCT (aerial)",
            ("CV-BrCT/aerial", "cv-brct/aerial", "CVBrCT/aerial", "CV-BrCT", "cvbrct"),
            496,
            None,
            9,
            (0.45240, 0.44331, 0.43006),
            (0.23977, 0.21992, 0.20903),
        ),
        PublishedSet(
            "neon",
            "NEON airborne, three sites",
            ("neon_0p1m.zip", "neon_0p1m", "neon"),
            400,
            0.1,
            3,
            packed="2757785c2bcd02eb",
        ),
        PublishedSet(
            "world_regions",
            "World regions, Blue Marble",
            (),  # cut from the bundled Blue Marble (world_regions.py)
            48,
            111_195.0 / 15,
            10,
            licence="NASA Blue Marble, public domain",
        ),
        PublishedSet("cifar10", "CIFAR-10", ("cifar-10-binary.tar.gz",), 32, None, 10),
        PublishedSet("cifar100", "CIFAR-100", ("cifar-100-binary.tar.gz",), 32, None, 100),
        PublishedSet("svhn", "SVHN", ("svhn", "SVHN"), 32, None, 10),  # a folder of two .mat files
        PublishedSet(
            "tiny_imagenet", "Tiny-ImageNet", ("tiny-imagenet-200.zip", "tiny-imagenet-200"), 64, None, 200
        ),
        PublishedSet("rsscn7", "RSSCN7", ("RSSCN7-master", "RSSCN7", "RSSCN7.zip", "rsscn7"), 400, None, 7),
    )
}


SPACENET, ADE20K = "spacenet", "ade20k"  # sets with masks, see spacenet.py and ade20k.py
_MASKED_SPELLINGS = {
    SPACENET: ("spacenet", "spacenet1", "spacenetv1", "sn1buildings"),
    ADE20K: ("ade20k", "ade", "adechallengedata2016"),
}


def published_masked(text: str) -> str | None:
    """Return SPACENET or ADE20K if a text names one of them, in any of the spellings in use."""
    return next((name for name, known in _MASKED_SPELLINGS.items() if _spelling(text) in known), None)


def published_set(text: str) -> PublishedSet | None:
    """Return the set of a name, title or alias, whatever its case, spaces, hyphens and underscores."""
    return _BY_SPELLING.get(_spelling(text))


def _spelling(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


_BY_SPELLING = {
    _spelling(text): entry
    for entry in PUBLISHED.values()
    for text in (entry.name, entry.title, entry.title.split(" (")[0], *entry.aliases)
}
LABELLED_TABLE = ("eurosat", "ucmerced", "harvey")  # what `all` means for labelled images
SEGMENTATION_TABLE = ("atlanta_buildings", "nc_landcover")  # for segmentation
RECONSTRUCTION_TABLE = ("eurosat", "ucmerced", "neon", "scenes", "naip2020")  # for reconstruction
