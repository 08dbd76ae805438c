import json

import pytest
from PIL import Image

from core.cli.entry import main

LINK = (
    "http://localhost:8501/Mask_Lab?tile=globe/blue_marble&at=10,45.5&gsd=8000&model=mae_tiny&size=64"
    "&tab=Export"
)


def test_views_become_numbered_files_and_a_contact_sheet(tmp_path, capsys):
    listed = tmp_path / "links.txt"
    listed.write_text(f"{LINK}\n\n{LINK}&mask=blob-40-s3\n")
    out = tmp_path / "out"
    words = ["export", str(listed), "--formats", "png", "tex", "json", "--width", "column", "--dpi", "60"]
    assert main([*words, "--out", str(out)]) == 0
    names = {path.name for path in out.iterdir()}
    stems = ("001-blue_marble", "002-blue_marble")
    assert names == {"contact-sheet.png"} | {
        f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf", "tex", "json")
    }
    assert capsys.readouterr().out.count("\n") == len(names)
    assert "{002-blue_marble.pdf}" in (out / "002-blue_marble.tex").read_text()
    assert json.loads((out / "002-blue_marble.json").read_text())["recipe"]["mask"] == "blob-40-s3"
    assert Image.open(out / "001-blue_marble.png").width == pytest.approx(89 / 25.4 * 60, abs=2)


@pytest.mark.parametrize(
    ("view", "more", "says"),
    [
        ("http://localhost/Mask_Lab?mask=blob-40-s3", [], "does not name a tile"),
        (LINK + "&mask=nonsense", [], "was ignored"),
        (LINK + "&weights=0123456789ab", [], "made with the weights 0123456789ab"),
        (LINK.replace("mae_tiny", "no_such_net"), [], "no model called no_such_net"),
        ("http://localhost/?tile=upload/abc", [], "one session of the app"),
        ("missing.json", [], "cannot be read"),
        (LINK, ["--width", "wide"], "write millimetres"),
        (LINK, ["--width", "3"], "60 to 420 mm"),
        (LINK, ["--series", "scale", "--steps", "99"], "choose 2 to 16"),
    ],
)
def test_views_that_cannot_be_exported_are_refused(view, more, says, tmp_path, capsys):
    assert main(["export", view, "--out", str(tmp_path / "out"), *more]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_without_a_view_is_refused(tmp_path, capsys):
    (tmp_path / "view.json").write_text("[1, 2]")
    assert main(["export", str(tmp_path / "view.json"), "--out", str(tmp_path / "out")]) == 2
    assert "does not name a tile" in capsys.readouterr().err
    (tmp_path / "view.json").write_text("{broken")
    assert main(["export", str(tmp_path / "view.json"), "--out", str(tmp_path / "out")]) == 2
    assert "not a saved view" in capsys.readouterr().err
