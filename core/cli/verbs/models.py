"""`python -m core models`: list the networks, and which of them are trained; describe one."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser("models", help="list the networks, their sizes and their weights")
    parser.add_argument(
        "name", nargs="?", help="describe one: what is built in, its use of the GSD, data, licence"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object with every card")


def run(args: argparse.Namespace) -> int:
    """Print the cards."""
    from ...models import cards, default_embedder, default_reconstructor
    from ...models.registry import find_family
    from ...viz.model_cards import about, good_at, score_lines

    known = cards()
    if args.name and args.name not in known:
        find_family(args.name)  # raises ModelNameError with the known names for any but a family
    chosen = {name: card for name, card in known.items() if args.name in (None, name, card.family)}
    defaults = {"default_reconstructor": default_reconstructor(), "default_embedder": default_embedder()}
    if args.json:
        print(
            json.dumps(
                {
                    "models": [
                        {
                            **asdict(card),
                            "title": card.title,
                            "trained": card.trained,
                            "good_at": good_at(card, known.values()),
                            "about": about(card),
                        }
                        for card in chosen.values()
                    ],
                    **defaults,
                }
            )
        )
        return 0
    for card in chosen.values():
        mark = " (default)" if card.name == defaults["default_reconstructor"] else ""
        weights = f"trained on {', '.join(card.weights.data)}" if card.weights else "untrained"
        gives = "reconstructs" if card.reconstructs else "embeds only"
        print(
            f"{card.name + mark:28} {card.input_px:4} px, patch {card.patch_px:2}, width "
            f"{card.embed_dim:4}  {gives:13} {weights}"
        )
        lines = [f"{card.title}. {good_at(card, known.values())}", *score_lines(card), *about(card)]
        for sentence in lines if args.name else ():
            print(f"  {sentence}")
    if not args.name:
        print(
            "\nOther networks also work: --model FILE (.pth, .ckpt, .safetensors, .onnx, .pt2), "
            "timm:NAME, timm:NAME@FILE, hf:OWNER/NAME"
        )
    return 0
