"""Where published weights are and how to recognise them: addresses, sizes and hashes in one table.

Sizes and hashes are those of the files' public Git LFS pointers on the hub; two independent uploads of the
official file agree on its hash. The release page itself states none.
"""

from __future__ import annotations

from dataclasses import dataclass

HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Release:
    """One published file: `urls` in the order to try, `size_bytes` and `sha256` as published."""

    name: str
    file: str
    urls: tuple[str, ...]
    size_bytes: int
    sha256: str
    variant: str
    gsd_aware: bool
    licence: str = "CC-BY-NC-4.0 (non-commercial)"


RELEASES: dict[str, Release] = {
    release.name: release
    for release in (
        Release(
            name="scale-mae",
            file="scalemae-vitlarge-800.pth",
            urls=(
                "https://github.com/bair-climate-initiative/scale-mae/releases/download/base-800/"
                "scalemae-vitlarge-800.pth",
                f"{HUB}/torchgeo/vit_large_patch16_224_fmow_rgb_scalemae/resolve/main/"
                "scalemae-vitlarge-800.pth",
            ),
            size_bytes=1_291_863_793,
            sha256="6f9ee477c4f3348673877a130f29ca5e80fa15413a5d62daeb85697032e90c51",
            variant="the official file",
            gsd_aware=True,
        ),
        Release(
            name="scale-mae-torchgeo",
            file="vit_large_patch16_224_fmow_rgb_scalemae-98ed9821.pth",
            urls=(
                f"{HUB}/torchgeo/vit_large_patch16_224_fmow_rgb_scalemae/resolve/"
                "9dc7f569424baeb780698352cf6e87638c882123/"
                "vit_large_patch16_224_fmow_rgb_scalemae-98ed9821.pth",
            ),
            size_bytes=1_213_304_038,
            sha256="386989c9cf349a5045c2ac76f7d0225ae3a54b2a2c158fa87e5df5103e5d9ed9",
            variant="torchgeo's export of the encoder",
            gsd_aware=True,
        ),
    )
}
RSHF_SHA256 = "51ca27a378cf31a95cee019b5ea9078bdd55bf0acadc83f841ceabfa706ddb41"
"""rshf's copy of the encoder, pytorch_model.bin of MVRL/scalemae-vitlarge-800.

Its page says Apache-2.0; the weights are Scale-MAE's.
"""

OFFICIAL_SHA256 = {
    RSHF_SHA256: "rshf's copy of the encoder",
    **{release.sha256: release.variant for release in RELEASES.values()},
}
