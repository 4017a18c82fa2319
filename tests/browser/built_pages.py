"""What the tests of built pages share: their names, and two looks at an open one."""

import yaml

from tests.conftest import ROOT

HTML = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PAGES = [TOC["root"], *(c["file"] for part in TOC["parts"] for c in part["chapters"])]
SET = "!window.MathJax || !MathJax.startup || MathJax.startup.promise.then(() => true)"


def wait_for_math(page):
    """Wait until every formula is set, and until book.js, which waits for them too, has looked at them."""
    page.wait_for_function(SET, timeout=60_000)
    page.evaluate("new Promise(done => setTimeout(done, 300))")  # the page's own clock: book.js asks every 200 ms


def found_by_axe(page, axe, inside="document"):
    """Return what axe-core finds wrong: rules, each with the places that break it."""
    if page.evaluate("!window.axe"):
        page.add_script_tag(content=axe)
    return page.evaluate(
        f"axe.run({inside}, {{resultTypes: ['violations'], preload: false}}).then(found => found.violations.map("
        "rule => [rule.id, ...rule.nodes.map(node => node.target.join(' '))]))"
    )
