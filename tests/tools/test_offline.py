"""The book in one file: every page in it, the same bytes from the same pages, a checksum that `sha256sum -c` reads."""

import hashlib
import zipfile

import pytest

from tools import offline


@pytest.fixture
def site(tmp_path):
    site = tmp_path / "html"
    (site / "chapters").mkdir(parents=True)
    (site / "index.html").write_text("first")
    (site / "chapters" / "01.html").write_text("second")
    (site / ".buildinfo").write_text("of the builder")
    return site


def test_it_holds_every_page_and_nothing_of_the_builder(site, tmp_path):
    offline.pack(site, tmp_path / "out" / "book.zip")
    with zipfile.ZipFile(tmp_path / "out" / "book.zip") as archive:
        assert archive.namelist() == ["neural-collapse/chapters/01.html", "neural-collapse/index.html"]
        assert archive.read("neural-collapse/chapters/01.html") == b"second"
        assert archive.testzip() is None


def test_the_same_pages_give_the_same_bytes_and_their_checksum(site, tmp_path):
    first = offline.pack(site, tmp_path / "a.zip")
    (site / "index.html").touch()
    assert offline.pack(site, tmp_path / "b.zip") == first
    (site / "index.html").write_text("changed")
    assert offline.pack(site, tmp_path / "c.zip") != first
    digest, name = (tmp_path / "a.zip.sha256").read_text().split()
    assert name == "a.zip" and digest == first == hashlib.sha256((tmp_path / "a.zip").read_bytes()).hexdigest()


def test_without_a_book_it_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="build the book first"):
        offline.pack(tmp_path, tmp_path / "book.zip")
    assert not (tmp_path / "book.zip").exists()
