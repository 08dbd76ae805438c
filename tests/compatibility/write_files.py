"""Write the files of test_earlier_version.py with the code of commit 1f0b25c, the version before 0.2.0.

Run it in a checkout of that commit: `python write_files.py FOLDER`. It uses the names of that version, so it
does not run in later ones. The imagery is synthetic.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import rasterio
import torch
from PIL import Image
from rasterio.transform import from_origin

SPEC = """\
name = "waves"
model = "scale_mae"
steps = 8
batch = 4
sides_px = [32]
warmup_steps = 2
lr = 2e-3
ema = 0.9
preview_every = 4
checkpoint_minutes = 1000.0

[sizes]
img_size = 32
patch_size = 8
head_scale = 4
embed_dim = 16
depth = 1
num_heads = 2
decoder_embed_dim = 16
decoder_depth = 1
decoder_num_heads = 2
fcn_dim = 8
fcn_layers = 1
centre = "visible_mean"
"""
STOP_AT = 5


def waves(side: int, seed: int, stripes: bool = True) -> np.ndarray:
    """Draw a smooth synthetic picture, (side, side, 3) uint8: stripes, or a checkerboard of blobs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / 32
    phase, colour = rng.uniform(0, 6, 3), rng.uniform(40, 110, 3)
    wave = np.sin(6 * x + phase[0]) if stripes else np.sin(5 * x + phase[1]) * np.sin(5 * y + phase[2])
    return np.clip(127 + wave[..., None] * colour, 0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def write_imagery(folder: Path) -> None:
    """Write a georeferenced raster of 10 m pixels and a labelled set of 32 pictures."""
    pixels = np.concatenate([waves(96, 1), waves(96, 2, stripes=False)], axis=1)
    profile = {
        "driver": "GTiff",
        "width": 192,
        "height": 96,
        "count": 3,
        "dtype": "uint8",
        "compress": "deflate",
    }
    place = {"crs": "EPSG:32632", "transform": from_origin(600_000, 5_300_000, 10, 10)}
    with rasterio.open(folder / "scene.tif", "w", **profile, **place) as file:
        file.write(pixels.transpose(2, 0, 1))
    with zipfile.ZipFile(folder / "fields.zip", "w") as archive:
        for number in range(32):
            label = ("stripes", "blobs")[number % 2]
            picture = png(waves(32, 100 + number, stripes=label == "stripes"))
            archive.writestr(zipfile.ZipInfo(f"fields/{label}/{number:02}.png"), picture)


def write_run(folder: Path) -> Path:
    """Write a training run that was stopped and the weights of an uninterrupted one."""
    import tomllib

    from core.engine.runs import Run, spec_from
    from core.engine.train import train

    from core.geo.crops import Imagery

    with rasterio.open(folder / "scene.tif") as file:
        scene = file.read().transpose(1, 2, 0)
    pictures = tuple(np.ascontiguousarray(scene[:, column : column + 96]) for column in range(0, 97, 32))
    imagery = (Imagery("waves", "none", pictures, (10.0,) * len(pictures), 1.0, 0.5, 2.0),)
    spec = spec_from(tomllib.loads(SPEC), "spec")
    run = Run(folder / "run")
    (folder / "run").mkdir()
    (folder / "run" / "spec.toml").write_text(SPEC)
    for step in train(spec, run.folder, imagery):
        if step.step == STOP_AT:
            run.ask_to_stop()
    list(train(spec, folder / "whole", imagery))
    weights = Run(folder / "whole").weights_file()
    shutil.copy(weights, folder / "waves.safetensors")
    for card in (folder / "whole" / "weights").glob("*.json"):
        shutil.copy(card, folder / "waves.json")
    shutil.rmtree(folder / "whole")
    for lock in ("lock", "stop"):
        (folder / "run" / lock).unlink(missing_ok=True)
    return folder / "waves.safetensors"


def write_encoding(folder: Path, weights: Path) -> None:
    """Write the tokens of one picture and the card of the network."""
    from core.models import load_checkpoint

    model = load_checkpoint(weights)
    with rasterio.open(folder / "scene.tif") as file:
        pixels = file.read(window=((0, 32), (0, 32)))
    images = torch.from_numpy(pixels[None].astype(np.float32) / 255)
    with torch.no_grad():
        tokens = model.encode(images, torch.tensor([2.0]))
    np.save(folder / "tokens.npy", tokens.numpy().astype(np.float32))
    write_json(folder / "card.json", json.loads(json.dumps(asdict(model.card), default=str)))


def command(*words: str) -> str:
    """Run a command line in this process and return what it printed."""
    from core.cli import main

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(list(words)) == 0, words
    return out.getvalue()


def write_results() -> None:
    """Write a reconstruction, tables, a patch raster and evaluations, by commands in the current folder."""
    model = ("--model", "waves.safetensors")
    mask = ("--mask", "block", "--ratio", "0.5", "--seed", "3")
    printed = command(
        "reconstruct",
        "scene.tif",
        *model,
        "--window",
        "20,30,48,48",
        *mask,
        "--out",
        "reconstruction",
        "--json",
    )
    Path("reconstruction.json").write_text(printed)
    command("embed", "scene.tif", *model, "--tile-px", "32", "--losses", "--out", "table")
    command(
        "embed",
        "scene.tif",
        *model,
        "--tile-px",
        "32",
        "--data-type",
        "int8",
        "--gsd-m",
        "10,20",
        "--out",
        "table_int8",
    )
    command("embed", "scene.tif", *model, "--patches", "--out", "patches")
    Path("search.json").write_text(command("search", "table", "--row", "3", "--k", "4", "--json"))
    for protocol, *more in (
        ("knn", "--k", "3"),
        ("probe",),
        ("few-shot", "--shots", "1,2"),
        ("reconstruction",),
    ):
        command(
            "evaluate",
            "fields.zip",
            *model,
            "--protocol",
            protocol,
            *more,
            "--gsd-m",
            "10",
            "--out",
            f"numbers/{protocol}",
        )


def write_links(folder: Path) -> None:
    """Write links of the labs and a saved view, with their meaning."""
    from earth_mae_components import Camera, Selection
    from ui.globe.sight import Sight, to_params
    from ui.scale_choices import Choices

    from core.geo.tile import TileRef, TileSpec
    from core.masking import KINDS, MaskSpec, mask_from_text
    from core.policy import Policy
    from core.session import View

    landsat = TileRef("samples", "landsat")
    view = View("mae_tiny", "", TileSpec(landsat), Policy("log_gsd"), MaskSpec("random", 0.75, 0))
    tiles = (
        TileSpec(landsat, window=(700, 620, 224, 224)),
        TileSpec(landsat, window=(700, 620, 224, 224), gsd_m=60.0, size_px=112, rgb=(2, 1, 0)),
        TileSpec(TileRef("globe", "globe"), lonlat=(-70.25, 11.4), gsd_m=8000.0),
        TileSpec(TileRef("wheels", "photo.png"), stated_gsd_m=0.3),
    )
    policies = (Policy("log_gsd"), Policy("training_range"), Policy("author_eval"), Policy("manual", 2.5))
    masks = (
        *(MaskSpec(kind, 0.5, 7) for kind in KINDS if kind != "cells"),
        mask_from_text("not-block-50-s3-z4"),
        mask_from_text("stripes-30"),
        MaskSpec("cells", cells=(0, 5, 6, 10), painted_on=(4, 4)),
    )
    views = [
        *(View("mae_tiny", "", tile, Policy("log_gsd"), MaskSpec()) for tile in tiles),
        *(View("scale_mae_tiny", "0123456789ab", tiles[0], policy, MaskSpec()) for policy in policies),
        *(View("sdmae_tiny", "", tiles[0], Policy("log_gsd"), mask) for mask in masks),
    ]
    labs = [
        {"page": "1_Mask_Lab", "params": one.to_params(), "view": asdict(one), "command": one.to_command()}
        for one in views
    ]
    choices = (
        Choices(),
        Choices(hold="pixels", masked="patches", count=4, band=1),
        Choices(row=3, col=2, block=2, head=1),
    )
    for choice in choices:
        shown = View("scale_mae_tiny", "", tiles[0], Policy("log_gsd"), MaskSpec(), choice.to_text())
        labs.append({"page": "2_Scale_Lab", "params": shown.to_params(), "choices": asdict(choice)})
    square = ((-10.0, 40.0), (10.0, 40.0), (10.0, 55.0), (-10.0, 55.0))
    small = ((-0.1, 0.4), (0.1, 0.4), (0.1, 0.5), (-0.1, 0.5))
    sights = (
        Sight(),
        Sight(
            table="world",
            model="scale_mae_tiny+cls",
            gsd_m=20_000.0,
            by="groups",
            camera=Camera("globe", 11.4, 47.3, 2.5),
        ),
        Sight(by="column:gsd_m", camera=Camera("flat", -70.0, -11.0, 1.25, 0.5, -0.25, 3.0), place="abc123"),
        Sight(
            selection=Selection("globe", "lasso", square), notes=(("groups", "kmeans-8"), ("search", "water"))
        ),
        Sight(by="similar", selection=Selection("plane", "box", small)),
    )
    for sight in sights:
        labs.append({"page": "3_Globe", "params": to_params(sight), "sight": asdict(sight)})
    write_json(folder / "links.json", labs)
    (folder / "saved_view.json").write_text(view.to_json())


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


def main() -> None:
    sys.path.insert(0, str(Path.cwd()))
    torch.set_num_threads(1)
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True)
    write_imagery(folder)
    write_links(folder)
    weights = write_run(folder)
    write_encoding(folder, weights)
    os.chdir(folder)
    write_results()


if __name__ == "__main__":
    main()
