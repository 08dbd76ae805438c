def test_home_shows_a_picture_computed_now_and_doors_to_the_labs_that_exist(open_page, monkeypatch):
    from core.engine import reconstruct as engine

    ran = []
    real = engine._run
    monkeypatch.setattr(engine, "_run", lambda *args: ran.append(1) or real(*args))
    app = open_page()
    assert not app.exception and not app.error
    app.button[0].click().run()  # other patches than any test before has asked for
    assert not app.exception and ran
    text = " ".join(block.value for block in (*app.markdown, *app.caption))
    assert "masked autoencoder" in text and "Computed just now" in text
    assert any("Hide patches of a satellite tile" in caption.value for caption in app.caption)
