def titles(app) -> list[str]:
    return [button.label for button in app.button if button.disabled]


def test_home_shows_a_live_reconstruction_and_links_to_existing_labs(open_page, monkeypatch):
    from core.engine import prediction as engine

    ran = []
    real = engine._run
    monkeypatch.setattr(engine, "_run", lambda *args: ran.append(1) or real(*args))
    app = open_page()
    assert not app.exception and not app.error
    press(app, "New mask")  # other patches than any test before has asked for
    assert not app.exception and ran
    text = " ".join(block.value for block in (*app.markdown, *app.caption))
    assert "masked autoencoder" in text and "147 of 196 patches hidden" in text
    assert any("Hide patches of a satellite tile" in caption.value for caption in app.caption)


def test_next_picture_goes_through_the_whole_gallery(open_page):
    app = open_page()
    tiles = [button.label for button in app.button if (button.key or "").startswith("show ")]
    assert len(tiles) >= 5
    seen = titles(app)
    for _ in tiles[1:]:
        press(app, "Next picture")
        assert not app.exception and not app.error
        seen += titles(app)
    assert sorted(seen) == sorted(tiles), "each tile once; the one on show cannot be chosen again"


def test_the_lab_opens_with_the_picture_and_mask_of_home(open_page, monkeypatch):
    opened = []
    monkeypatch.setattr("ui.shell.state.open_page", lambda view, page: opened.append((view, page)))
    app = open_page()
    press(app, "Open in the Mask Lab")
    ((view, page),) = opened
    assert page == "pages/1_Mask_Lab.py"
    assert view == app.session_state["home view"]


def press(app, label: str) -> None:
    next(button for button in app.button if button.label == label).click().run()
