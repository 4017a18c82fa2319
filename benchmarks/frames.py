"""What a frame of every live figure costs in a browser: milliseconds of script, median and worst. Asserts nothing.

    .venv/bin/python -m benchmarks.frames          (after make book; needs Chromium)

Each figure of each page is moved eight steps to and fro by the keyboard; one that takes no keys is started.
"""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path

from tools.boxes import processor
from tools.printing import browser

SITE = Path(__file__).resolve().parent.parent / "_build" / "html"
FRAME = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
KEYS = ["ArrowRight"] * 8 + ["ArrowLeft"] * 8


def main() -> None:
    print(f"{processor()}, load {os.getloadavg()[0]:.1f}")
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        for file in [SITE / "index.html", *sorted((SITE / "chapters").glob("*.html"))]:
            page.goto(file.as_uri())
            page.wait_for_load_state("load")
            for ident in page.evaluate("Object.keys((window.ncLive || { labs: {} }).labs)"):
                figure = page.locator(f"#{ident}")
                figure.scroll_into_view_if_needed()
                handles = figure.locator(".nclive-handle, input[type=range]")
                if handles.count():
                    handles.first.focus()
                for key in KEYS:
                    page.keyboard.press(key)
                    page.evaluate(FRAME)
                costs = page.evaluate("ident => ncLive.labs[ident].costs", ident)
                kind = json.loads(figure.locator("script[type='application/json']").text_content())["name"]
                median = statistics.median(costs) if costs else float("nan")
                print(f"{file.stem:<40}{ident:<14}{kind:<14}{len(costs):4d} frames"
                      f"{median:8.2f} ms, at most {max(costs, default=0):.1f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
