"""Take pictures of a built page: desktop and phone width, light and dark.

python -m tools.screenshot _build/html/chapters/02-simplex-etf.html /tmp/look
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main(page_file: str, prefix: str) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("Chromium is not installed (Debian: apt install chromium)")
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=FLAGS)
        for width in (1280, 390):
            for mode in ("light", "dark"):
                page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=mode)
                page.add_init_script(f"localStorage.setItem('mode', '{mode}'); localStorage.setItem('theme', '{mode}')")
                page.goto(Path(page_file).resolve().as_uri())
                page.wait_for_timeout(1500)
                height = page.evaluate("document.documentElement.scrollHeight")
                # Long pages in pieces: one picture of 20 000 pixels shows nothing.
                for part, top in enumerate(range(0, height, 2400)):
                    page.set_viewport_size({"width": width, "height": 2400})
                    page.evaluate(f"window.scrollTo(0, {top})")
                    page.wait_for_timeout(200)
                    page.screenshot(path=f"{prefix}-{width}-{mode}-{part:02d}.png")
                page.close()
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])
