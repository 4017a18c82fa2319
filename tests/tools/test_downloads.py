"""What the pages offer to download is what lies beside them."""

import pytest

from tools import downloads

BUTTON = """<li>
<button onclick="window.print()" class="btn"><span class="btn__text-container">.pdf</span>
</button>
</li>"""
PAGE = f"<ul><li>.ipynb</li>{BUTTON}</ul>"


@pytest.fixture
def site(tmp_path):
    (tmp_path / "html" / "chapters").mkdir(parents=True)
    for name in ("index.html", "chapters/01.html"):
        (tmp_path / "html" / name).write_text(PAGE, encoding="utf-8")
    return tmp_path / "html"


def test_without_an_edition_the_pages_stay(site):
    downloads.offer(site)
    assert (site / "index.html").read_text(encoding="utf-8") == PAGE


def test_an_edition_is_linked_from_every_page_and_once(site, tmp_path):
    edition = tmp_path / "neural-collapse.pdf"
    edition.write_bytes(b"%PDF")
    for _ in range(2):
        downloads.put(edition, site)
    for name, link in (("index.html", "./neural-collapse.pdf"), ("chapters/01.html", "../neural-collapse.pdf")):
        text = (site / name).read_text(encoding="utf-8")
        assert text.count(f'href="{link}" download') == 1 and text.count(">.pdf</span>") == 1
        assert text.count("window.print()") == 1 and ">print</span>" in text
    assert (site / "neural-collapse.pdf").read_bytes() == b"%PDF"


def test_where_it_is_gone_it_is_no_longer_offered(site, tmp_path):
    edition = tmp_path / "neural-collapse.pdf"
    edition.write_bytes(b"%PDF")
    downloads.put(edition, site)
    downloads.withdraw(site)
    downloads.offer(site)
    assert (site / "index.html").read_text(encoding="utf-8") == PAGE
