"""Where published data sets are downloaded from: addresses, sizes, hashes and licences.

Addresses and hashes are those that torchgeo, torchvision or the publishers state. None of them was tried when
this table was written, which pages and the command say. A set without an archive at a stable address has
only its publisher's page, and `core fetch` says what to do by hand.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...files import program_folder
from .published import ADE20K, SPACENET, published_masked, published_set

FETCHED_FOLDER = program_folder("data") / "sets"
"""Where sets are downloaded to, and one of the folders that sets are found in."""

UNVERIFIED = "address not verified"
_RIO = (
    "https://spacenet-dataset.s3.amazonaws.com/spacenet/SN1_buildings/tarballs/SN1_buildings_train_AOI_1_Rio_"
)


@dataclass(frozen=True)
class SetArchive:
    """A file to download: `digest` is "md5:..." or "sha256:...", "" if its publisher states none.

    `about_bytes` is its size where known, rounded up; `max_bytes` the most that is accepted.
    """

    file: str
    url: str
    digest: str = ""
    about_bytes: int | None = None
    max_bytes: int = 2 * 10**9


@dataclass(frozen=True)
class DatasetRelease:
    """A published set: its archives, its licence, and its publisher's page.

    `unpack_to` is the folder that tar archives are unpacked to, "" where archives are read as they are.
    """

    name: str
    title: str
    archives: tuple[SetArchive, ...]
    licence: str
    page: str
    unpack_to: str = ""

    @property
    def about_bytes(self) -> int | None:
        """The size of all archives, None where one is unknown."""
        sizes = [archive.about_bytes for archive in self.archives]
        known = [size for size in sizes if size is not None]
        return sum(known) if known and len(known) == len(sizes) else None

    @property
    def size(self) -> str:
        """The size in words."""
        return "size unknown" if self.about_bytes is None else f"{self.about_bytes / 1e6:,.0f} MB"


DATASET_RELEASES: dict[str, DatasetRelease] = {
    release.name: release
    for release in (
        DatasetRelease(
            "eurosat",
            "EuroSAT RGB",
            (
                SetArchive(
                    "EuroSAT_RGB.zip",
                    "https://zenodo.org/records/7711810/files/EuroSAT_RGB.zip",
                    "sha256:b4f5b234ecb7d7ff9c6cddb046543b4717c53fd6e9815be6c0e80cc614f51b90",
                    95_000_000,
                ),
            ),
            "MIT; contains Copernicus Sentinel data",
            "https://zenodo.org/records/7711810",
        ),
        DatasetRelease(
            "ucmerced",
            "UC Merced Land Use",
            (
                SetArchive(
                    "UCMerced_LandUse.zip",
                    "https://huggingface.co/datasets/torchgeo/ucmerced/resolve/main/UCMerced_LandUse.zip",
                    "md5:5b7ec56793786b6dc8a908e8854ac0e4",
                    333_000_000,
                ),
            ),
            "USGS imagery, public domain; cite Yang and Newsam 2010",
            "http://weegee.vision.ucmerced.edu/datasets/landuse.html",
        ),
        DatasetRelease(
            "resisc45",
            "NWPU-RESISC45",
            (
                SetArchive(
                    "NWPU-RESISC45.zip",
                    "https://hf.co/datasets/isaaccorley/resisc45/resolve/"
                    "883edc0eee77b2c84225472f10f126e3ed83fa6e/NWPU-RESISC45.zip",
                    "sha256:beeecd0b63656290ae6d65cf7763185b0c1c4c54a753ef8088d6fba3faaf1f53",
                ),
            ),
            "see its page; cite Cheng et al. 2017",
            "https://huggingface.co/datasets/torchgeo/resisc45",
        ),
        DatasetRelease(
            "whu_rs19",
            "WHU-RS19",
            (
                SetArchive(
                    "WHU-RS19.zip",
                    "https://github.com/CAPTAIN-WHU/BED4RS/raw/main/datasets/WHU-RS19.zip",
                ),
            ),
            "see its page; images from Google Earth",
            "https://captain-whu.github.io/BED4RS/",
        ),
        DatasetRelease(
            SPACENET,
            "SpaceNet 1, Rio de Janeiro",
            (
                SetArchive(
                    "SN1_buildings_train_AOI_1_Rio_3band.tar.gz",
                    f"{_RIO}3band.tar.gz",
                    "md5:279e334a2120ecac70439ea246174516",
                    max_bytes=10**10,
                ),
                SetArchive(
                    "SN1_buildings_train_AOI_1_Rio_geojson_buildings.tar.gz",
                    f"{_RIO}geojson_buildings.tar.gz",
                    "md5:b6e02fbd727f252ea038abe4f77a77b3",
                ),
            ),
            "CC BY-SA 4.0",
            "https://spacenet.ai/spacenet-buildings-dataset-v1/",
            "SN1_buildings",
        ),
        DatasetRelease(
            "cifar10",
            "CIFAR-10",
            (
                SetArchive(
                    "cifar-10-binary.tar.gz",
                    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                    "md5:c32a1d4ab5d03f1284b67883e8d87530",
                    170_052_171,
                ),
            ),
            "see its page; cite Krizhevsky 2009",
            "https://www.cs.toronto.edu/~kriz/cifar.html",
        ),
        DatasetRelease(
            "cifar100",
            "CIFAR-100",
            (
                SetArchive(
                    "cifar-100-binary.tar.gz",
                    "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                    "md5:03b5dce01913d631647c71ecec9e9cb8",
                    168_513_733,
                ),
            ),
            "see its page; cite Krizhevsky 2009",
            "https://www.cs.toronto.edu/~kriz/cifar.html",
        ),
        DatasetRelease(
            ADE20K,
            "ADE20K for scene parsing",
            (),
            "see its page; for research and education",
            "https://groups.csail.mit.edu/vision/datasets/ADE20K/",
            "ADEChallengeData2016",
        ),
        DatasetRelease("svhn", "SVHN", (), "see its page", "http://ufldl.stanford.edu/housenumbers/"),
        DatasetRelease("tiny_imagenet", "Tiny-ImageNet", (), "see its page", "http://cs231n.stanford.edu/"),
        DatasetRelease("aid", "AID", (), "see its page", "https://captain-whu.github.io/AID/"),
        DatasetRelease("optimal31", "OPTIMAL-31", (), "see its page", "https://crabwq.github.io/"),
        DatasetRelease(
            "mlrsnet", "MLRSNet", (), "see its page", "https://data.mendeley.com/datasets/7j9bv9vwsx"
        ),
        DatasetRelease(
            "airound", "AiRound", (), "see its page", "http://www.patreo.dcc.ufmg.br/multi-view-datasets/"
        ),
        DatasetRelease(
            "cvbrct", "CV-BrCT", (), "see its page", "http://www.patreo.dcc.ufmg.br/multi-view-datasets/"
        ),
    )
}


def dataset_release(text: str) -> DatasetRelease | None:
    """Return the release of a set by its name or another spelling, None if there is none."""
    known = published_set(text)
    return DATASET_RELEASES.get(published_masked(text) or (known.name if known else ""))
