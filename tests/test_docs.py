"""The documentation builds offline, its links lead somewhere, and its commands are valid."""

import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args
from urllib.parse import unquote, urlsplit

import pytest

from core.cli.entry import build_parser

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "video": "src"}


class Links(HTMLParser):
    """Collects what a page links to, what it loads, and its anchors."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag in LOADED and values.get(LOADED[tag]) and values.get("rel") != "canonical":
            self.loaded.append(values[LOADED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Links]:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return {page: Links(page.read_text()) for page in folder.rglob("*.html")}


@pytest.mark.thorough
def test_every_page_is_built(site: dict[Path, Links]) -> None:
    assert len(site) >= len(PAGES)


@pytest.mark.thorough
def test_no_page_loads_anything_from_another_host(site: dict[Path, Links]) -> None:
    loaded = [(page.name, url) for page, links in site.items() for url in links.loaded]
    assert loaded
    assert not [
        (page, url) for page, url in loaded if urlsplit(url).scheme in ("http", "https") or url[:2] == "//"
    ]
    folder = next(iter(site)).parent
    styles = "".join(path.read_text() for path in folder.rglob("*.css"))
    assert not re.findall(r"url\(['\"]?(?:https?:)?//[^)]*\)", styles)


@pytest.mark.thorough
def test_every_link_inside_the_site_leads_to_a_page_and_an_anchor(site: dict[Path, Links]) -> None:
    broken = []
    for page, links in site.items():
        if page.name == "404.html":  # served from any address, so its links start at the root
            continue
        for link in (*links.links, *links.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            if not target.is_file() or (anchor and target in site and anchor not in site[target].anchors):
                broken.append((page.name, link))
    assert not broken


@pytest.mark.thorough
def test_the_reference_lists_every_verb(site: dict[Path, Links]) -> None:
    page = next(page for page in site if page.name == "cli.html")
    verbs = {path.stem for path in (ROOT / "core/cli/verbs").glob("[a-z]*.py")}
    assert verbs <= site[page].anchors


def test_every_command_in_the_documentation_is_valid() -> None:
    parser, count = build_parser(), 0
    for page in (*PAGES, ROOT / "CONTRIBUTING.md"):
        for line in page.read_text().replace("\\\n", " ").splitlines():
            if re.match(r"(\.venv/bin/)?python -m core ", line):
                parser.parse_args(shlex.split(line, comments=True)[3:])
                count += 1
    assert count > 15


def test_every_make_target_and_file_that_the_documentation_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    missing = []
    for page in (*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        text = page.read_text()
        missing += [
            (page.name, target) for target in re.findall(r"`make ([a-z]+)", text) if target not in targets
        ]
        paths = re.findall(
            r"`((?:core|ui|tests|docs|tools|benchmarks|pages|docker|notebooks)/[\w./-]+)`", text
        )
        missing += [(page.name, path) for path in paths if not (ROOT / path).exists()]
    assert not missing


def test_the_security_page_names_what_the_program_reads() -> None:
    from ui.shell.permissions import Act

    text = (ROOT / "SECURITY.md").read_text()
    source = "".join(file.read_text() for part in ("core", "ui") for file in (ROOT / part).rglob("*.py"))
    named = set(re.findall(r"EARTH_MAE_[A-Z]+", text))
    assert named >= {"EARTH_MAE_PASSWORD", "EARTH_MAE_HOSTS", "EARTH_MAE_ALLOW", "EARTH_MAE_ONLINE"}
    assert not {name for name in named if name not in source}
    assert all(f"`{act}`" in text for act in get_args(Act))
    assert "proxy_pass http" in text and "docs/threat-model.md" in text


@pytest.mark.parametrize(
    "dockerfile", sorted((ROOT / "docker").glob("Dockerfile*")), ids=lambda path: path.name
)
def test_dockerfiles_have_no_lint(dockerfile: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(hadolint), str(dockerfile)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_templates_and_citation_are_valid_yaml() -> None:
    yaml = pytest.importorskip("yaml")
    files = [*(ROOT / ".github").rglob("*.yml"), ROOT / "CITATION.cff", ROOT / "docker/compose.yaml"]
    assert len(files) > 5
    for file in files:
        assert isinstance(yaml.safe_load(file.read_text()), dict), file.name
