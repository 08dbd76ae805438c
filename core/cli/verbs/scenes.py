"""`python -m core scenes`: list the satellite scenes of a place from a STAC catalogue, least cloudy first."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import date, timedelta

from ...errors import UsageError

_EPILOG = """examples:
  python -m core scenes --at 11.4,47.3 --from 2024-06-01 --to 2024-09-01 --cloud 10 --online
  python -m core scenes --at=-70.6,-33.4 --online --json

The catalogue is Earth Search (Sentinel-2 L2A) unless EARTH_MAE_STAC and EARTH_MAE_STAC_COLLECTION name
another one.
The printed addresses (stac:...) are sources for `embed` and `reconstruct`."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "scenes",
        help="list satellite scenes of a place from a STAC catalogue (needs --online)",
        description="List the scenes of a place from a STAC catalogue, least cloudy first.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--at", required=True, metavar="LON,LAT", help="the place, in degrees")
    parser.add_argument(
        "--from", dest="first", metavar="DAY", help="first day, as 2024-06-01 (default: a year ago)"
    )
    parser.add_argument("--to", dest="last", metavar="DAY", help="last day (default: today)")
    parser.add_argument(
        "--cloud",
        type=float,
        default=20.0,
        metavar="P",
        help="maximum cloud cover in percent (default: 20)",
    )
    parser.add_argument(
        "--most", type=int, default=12, metavar="N", help="maximum number of scenes (default: 12)"
    )
    parser.add_argument("--online", action="store_true", help="allow this command to use the internet")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object: the scenes with outlines and rasters"
    )


def run(args: argparse.Namespace) -> int:
    """Query the catalogue and list the scenes."""
    from ...net import online

    online.require(args.online)
    from ...geo.sources.scenes import SceneQuery, catalogue, search
    from ...net.client import Web

    today = date.today()
    query = SceneQuery(
        _place(args.at),
        args.first or str(today - timedelta(days=365)),
        args.last or str(today),
        args.cloud,
        args.most,
    )
    scenes = search(Web(args.online), query)
    if args.json:
        print(json.dumps({"catalogue": asdict(catalogue()), "scenes": [asdict(scene) for scene in scenes]}))
        return 0
    print(f"{'taken':12}{'cloud %':>8}  source")
    for scene in scenes:
        cloud = "?" if scene.cloud_percent is None else f"{scene.cloud_percent:.1f}"
        print(f"{scene.when[:10]:12}{cloud:>8}  stac:{scene.address}")
    return 0


def _place(text: str) -> tuple[float, float]:
    try:
        lon, lat = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"--at {text!r:.60} cannot be read: write it as LON,LAT, two numbers with a comma between them."
        ) from error
    return lon, lat
