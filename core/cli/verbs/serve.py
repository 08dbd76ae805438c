"""`python -m core serve`: an HTTP service that reconstructs, embeds and searches for other programs."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

from ...errors import UsageError

TOKEN_VARIABLE = "EARTH_MAE_TOKEN"
SHORTEST_TOKEN = 16
_EPILOG = """examples:
  python -m core serve
  python -m core serve --port 9000 --table tables/scene
  EARTH_MAE_TOKEN=$(openssl rand -hex 24) python -m core serve --host 0.0.0.0 --name mae.example.org

The service describes itself on /docs. core/service/client.py is a client in one file."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "serve",
        help="answer other programs over HTTP",
        description="Reconstruct, embed and search for other programs over HTTP. To other machines it only "
        f"answers with a token, which the environment variable {TOKEN_VARIABLE} or --token-file sets.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=int, default=8600, help="default: 8600; 0 takes a free one")
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="HOST",
        help="a host name by which others call the service; may be repeated",
    )
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="file that holds the token")
    parser.add_argument(
        "--table", nargs="+", metavar="TABLE", help="table of embeddings that /v1/search searches"
    )
    parser.add_argument(
        "--requests-per-minute",
        type=int,
        default=600,
        metavar="N",
        help="limit for each client; 0 for none (default: 600)",
    )
    parser.add_argument(
        "--max-mb", type=int, default=50, metavar="MB", help="largest request in megabytes (default: 50)"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from ...service.door import LOOPBACK

    token = _token(args.token_file)
    if args.host not in LOOPBACK and not token:
        raise UsageError(
            f"Set a token before other machines can reach the service: {TOKEN_VARIABLE}, or --token-file."
        )
    if args.requests_per_minute < 0 or not 1 <= args.max_mb <= 4096:
        raise UsageError("--requests-per-minute must be 0 or more, and --max-mb 1 to 4096.")
    listening = _listen(args.host, args.port)
    try:
        import uvicorn

        from ...service.app import Settings, create_app
    except ImportError as error:
        raise UsageError(
            f"The service needs {error.name}: pip install 'earth-mae-explorer[service]'."
        ) from None
    from ...atlas import open_table

    names = {name.lower() for name in args.name} | (LOOPBACK if args.name or args.host in LOOPBACK else set())
    app = create_app(
        Settings(
            token=token,
            names=frozenset(names),
            per_minute=args.requests_per_minute,
            max_mb=args.max_mb,
            table=open_table(*args.table) if args.table else None,
        )
    )
    port = listening.getsockname()[1]
    print(f"Listening on http://{args.host}:{port}, described on /docs.", file=sys.stderr, flush=True)
    config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_keep_alive=15)
    uvicorn.Server(config).run(sockets=[listening])
    return 0


def _token(file: Path | None) -> str | None:
    try:
        token = file.read_text().strip() if file else os.environ.get(TOKEN_VARIABLE, "").strip()
    except (OSError, UnicodeError):
        raise UsageError(f"The token file {file} cannot be read.") from None
    if (file or token) and len(token) < SHORTEST_TOKEN:
        raise UsageError(
            f"The token must have at least {SHORTEST_TOKEN} characters, for example `openssl rand -hex 24`."
        )
    return token or None


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not a port"
        raise UsageError(
            f"{host}:{port} is not available ({why}): choose another --port or --host."
        ) from None
