"""`python -m core publish`: write a model's page, and upload it to the Hugging Face hub."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from ...errors import UsageError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "publish",
        help="publish a model on the Hugging Face hub, or write its page into a folder",
        description="Write a model's page: safetensors, config.json, a model card and a STAC item of the "
        "Machine Learning Model extension. With --online it is uploaded to the Hugging Face hub; log in with "
        "`hf auth login` first. --model hf:OWNER/NAME then opens it on any machine.",
    )
    parser.add_argument(
        "model", metavar="NAME|FILE", help="a name from `models`, or a weights file trained here"
    )
    parser.add_argument("--hub", required=True, metavar="OWNER/NAME", help="the model's name on the hub")
    parser.add_argument("--to", type=Path, metavar="DIR", help="also keep the page in this folder")
    parser.add_argument(
        "--licence", default="", metavar="ID", help="licence of the weights (default: their card's)"
    )
    parser.add_argument("--private", action="store_true", help="create a private model")
    parser.add_argument("--online", action="store_true", help="allow this command to use the internet")
    parser.add_argument("--json", action="store_true", help="print one JSON object about the page")


def run(args: argparse.Namespace) -> int:
    """Write the page, then upload it if the internet may be used."""
    from ...engine.loaded import load
    from ...models.model_page import FILES, write_model_page
    from ...net import online
    from ...net.hub import Hub, require_name

    require_name(args.hub, "main")
    connected = online.is_on(args.online)
    if not connected and args.to is None:
        raise UsageError(
            "The hub is on the internet and online access is off: add --online to upload the page, or --to "
            "DIR "
            "to write it into a folder."
        )
    hub = Hub(args.online) if connected else None
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_model_page(load(args.model), args.to or Path(scratch), args.hub, licence=args.licence)
        address = hub.upload(folder, args.hub, private=args.private, message="Publish weights") if hub else ""
    if args.json:
        print(json.dumps({"folder": str(args.to or ""), "files": list(FILES), "address": address}))
        return 0
    if args.to:
        print(f"Wrote {', '.join(FILES)} to {args.to}", file=sys.stderr)
    print(f"Published: {address}" if address else "Not uploaded: add --online to do so.", file=sys.stderr)
    return 0
