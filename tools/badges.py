"""Put badges for Colab and Binder on the notebooks: `python tools/badges.py OWNER/NAME`.

OWNER/NAME is the repository on GitHub that people are to open. Under the title of each notebook come both
badges and the line that installs the program there; those of another repository are replaced.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
FIRST = "[![Open in Colab]"


def main() -> int:
    """Rewrite the notebooks and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("repository", metavar="OWNER/NAME", help="the repository on GitHub")
    parser.add_argument("--branch", default="main", help="its branch (default: main)")
    parser.add_argument("--folder", type=Path, default=NOTEBOOKS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", args.repository):
        parser.error(f"{args.repository!r} is not a repository: write OWNER/NAME, as in its address.")
    for path in sorted(args.folder.glob("[0-9]*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        top = notebook["cells"][0]
        title, *rest = "".join(top["source"]).split("\n\n")
        text = "\n\n".join(
            [title, badges(path.name, args.repository, args.branch)]
            + [part for part in rest if not part.startswith(FIRST)]
        )
        top["source"] = text.splitlines(keepends=True)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def badges(file: str, repository: str, branch: str) -> str:
    """Return both badges and the line that installs the program, as Markdown."""
    colab = f"https://colab.research.google.com/github/{repository}/blob/{branch}/notebooks/{file}"
    binder = f"https://mybinder.org/v2/gh/{repository}/{branch}?urlpath=lab/tree/notebooks/{file}"
    name = repository.partition("/")[2]
    return (
        f"{FIRST}(https://colab.research.google.com/assets/colab-badge.svg)]({colab})\n"
        f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({binder})\n"
        f"Run in the first cell: `!git clone https://github.com/{repository}`, `%cd {name}` "
        "(Binder has done both), `%pip install '.[all]'`."
    )


if __name__ == "__main__":
    raise SystemExit(main())
