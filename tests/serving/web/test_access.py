"""The page for everybody: what axe-core finds in it, where that is installed, narrow screens, and large catalogues."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sparserec_np.serving.web.site import Page, write_site
from sparserec_np.serving.web.titles import Titled
from tests.makers.served_models import make_fism_model
from tests.serving.web.browser import CHROMIUM, FLAGS, needs_chromium, serving
from tests.serving.web.node import NODE

MODEL = make_fism_model(8, seed=1, n_items=40, dim=12, density=0.5)
LONG = "A title of many words, and a word of manyletterswithoutanyplacewherealinecouldbebroken"
TITLES = {row: Titled(f"{LONG} {row}", "") for row in range(40)}
FIND = "console.log(require.resolve('axe-core/axe.min.js', { paths: [process.cwd(), ...module.paths] }))"
pytestmark = [needs_chromium, pytest.mark.slow]


@contextmanager
def opened(folder: Path, **look: Any) -> Iterator[Any]:
    """A page with its switch, in a browser that looks so, with something searched and picked."""
    playwright = pytest.importorskip("playwright.sync_api")
    write_site(MODEL, folder, "int8", TITLES, Page(training="https://example.org"))
    with serving(folder) as address, playwright.sync_playwright() as drive:
        browser = drive.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(**look)
        page.goto(address)
        page.wait_for_selector("html[data-ready=yes]")
        page.fill("#search", "title 3")
        page.click("#found li:first-child button")
        yield page
        browser.close()


def axe() -> str:
    """The program of axe-core, of an npm project that Node looks in: that of the working folder, or of NODE_PATH."""
    if NODE is None:
        pytest.skip("Node was not found: there is no node on the path")
    found = subprocess.run([NODE, "-e", FIND], capture_output=True, encoding="utf-8", check=False)
    if found.returncode:
        pytest.skip("axe-core was not found: npm install axe-core")
    return Path(found.stdout.strip()).read_text(encoding="utf-8")


@pytest.mark.parametrize("look", [{"color_scheme": "light"}, {"color_scheme": "dark"}], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_axe_finds_nothing(tmp_path: Path, look: dict[str, Any], width: int) -> None:
    program = axe()
    with opened(tmp_path, viewport={"width": width, "height": 800}, **look) as page:
        page.evaluate(program)
        found = page.evaluate("axe.run().then(({ violations }) => violations)")
    assert [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in found] == []


def test_nothing_is_wider_than_a_small_phone(tmp_path: Path) -> None:
    with opened(tmp_path, viewport={"width": 320, "height": 600}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 320
        heights = page.evaluate(
            "[...document.querySelectorAll('button, input')].map((one) => one.getBoundingClientRect().height)"
        )
    assert heights and min(heights) >= 24


def test_the_page_says_what_cannot_be_opened(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    write_site(MODEL, tmp_path, "int8", TITLES)
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:-3])
    with serving(tmp_path) as address, playwright.sync_playwright() as drive:
        browser = drive.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("html[data-ready=no]")
        said = page.inner_text("#status")
        browser.close()
    assert "The model cannot be opened: model.safetensors is not a sound model file: " in said, json.dumps(
        said
    )
