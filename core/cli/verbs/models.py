"""`python -m core models`: list the networks, and which of them are trained."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser("models", help="list the networks, their sizes and their weights")
    parser.add_argument("--json", action="store_true", help="print one JSON object with every card")


def run(args: argparse.Namespace) -> int:
    """Print the cards."""
    from ...models import cards, default_embedder, default_reconstructor

    known = cards()
    defaults = {"default_reconstructor": default_reconstructor(), "default_embedder": default_embedder()}
    if args.json:
        print(
            json.dumps(
                {"models": [{**asdict(card), "trained": card.trained} for card in known.values()], **defaults}
            )
        )
        return 0
    for card in known.values():
        mark = " (default)" if card.name == defaults["default_reconstructor"] else ""
        weights = f"trained on {', '.join(card.weights.data)}" if card.weights else "untrained"
        gives = "reconstructs" if card.reconstructs else "embeds only"
        print(
            f"{card.name + mark:28} {card.input_px:4} px, patch {card.patch_px:2}, width "
            f"{card.embed_dim:4}  {gives:13} {weights}"
        )
    print("\nPublished weights files work, too: --model FILE.pth or FILE.safetensors")
    return 0
