"""The live experiment on the first page: laid in once, around the picture that was there."""

from tools import landing_page

PICTURE = '<img alt="Three corners." class="hero" src="_images/hero.webp">'
PAGE = f"<p>before</p><!-- begin live --><figure>\n{PICTURE}</figure><!-- end live --><p>after</p>"


def test_it_keeps_the_picture_for_readers_without_scripts(tmp_path):
    page = tmp_path / "index.html"
    page.write_text(PAGE, encoding="utf-8")
    landing_page.lay_in(page)
    laid = page.read_text(encoding="utf-8")
    assert laid.startswith("<p>before</p>") and laid.endswith("<p>after</p>")
    assert f'<div class="nclive-still">{PICTURE}</div>' in laid and "<figure>" not in laid
    assert laid.count("ncLive.start(") == 1 and len(laid.encode()) < 100_000


def test_a_second_time_changes_nothing(tmp_path):
    page = tmp_path / "index.html"
    page.write_text(PAGE, encoding="utf-8")
    landing_page.lay_in(page)
    once = page.read_text(encoding="utf-8")
    landing_page.lay_in(page)
    assert page.read_text(encoding="utf-8") == once


def test_a_page_without_the_marks_stays(tmp_path):
    page = tmp_path / "index.html"
    page.write_text(PICTURE, encoding="utf-8")
    landing_page.lay_in(page)
    assert page.read_text(encoding="utf-8") == PICTURE
