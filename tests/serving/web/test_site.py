"""The page of a model: what is written, that titles stay text, and how it behaves in a browser."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparserec_np.errors import DataError
from sparserec_np.runtime import ArtifactError, Ids, Recommender, read_artifact
from sparserec_np.serving.slices import keep_items
from sparserec_np.serving.web.site import MODULES, Page, bundled, write_site
from sparserec_np.serving.web.titles import Titled, read_titles
from tests.makers.served_models import make_fism_model, make_model, make_ridge_model
from tests.serving.web.browser import CHROMIUM, FLAGS, dump, needs_chromium, serving

MODEL = make_fism_model(8, seed=1, n_items=40, dim=12, density=0.5)
HOSTILE = [
    "</script><script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "$policy ${body} \\u003c <!-- <script>",
    "'\"><svg onload=document.title='owned'>",
]
TITLES = {row: Titled(f"{HOSTILE[row % 4]} {row}", "") for row in range(40)}


def policy_of(page: str) -> dict[str, list[str]]:
    """The directives of a page's policy."""
    said = html.unescape(re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[0])
    return {words[0]: words[1:] for words in (one.split() for one in said.split(";"))}


def test_a_site_holds_the_model_without_its_users(tmp_path: Path) -> None:
    sizes = write_site(MODEL, tmp_path / "site", "int8", {0: Titled("One", "https://host:8080/a.png")})
    assert sizes == {path.name: path.stat().st_size for path in (tmp_path / "site").iterdir()}
    artifact = read_artifact(tmp_path / "site" / "model.safetensors")
    assert artifact.metadata["n_users"] == "0" and artifact.metadata["seen"] == "left out"
    assert not [name for name in artifact.arrays if name.startswith(("users", "seen", "user_ids"))]
    items = json.loads((tmp_path / "site" / "items.json").read_text())
    assert [item[0] if isinstance(item, list) else item for item in items] == Recommender(
        MODEL.encode()
    ).popular_items.tolist()
    assert [0, "One", "https://host:8080/a.png"] in items and 1 in items
    policy = policy_of((tmp_path / "site" / "index.html").read_text())
    assert policy["default-src"] == ["'none'"] and policy["connect-src"] == ["'self'"]
    assert policy["img-src"] == ["'self'", "data:", "https://host:8080"]
    assert policy["script-src"] == policy["style-src"] == ["'self'"]


def test_the_worker_keeps_what_the_page_asks_for_and_changes_with_it(tmp_path: Path) -> None:
    workers = []
    for name, titles in {"one": {}, "other": TITLES}.items():
        write_site(MODEL, tmp_path / name, "int8", titles)
        workers.append((tmp_path / name / "worker.js").read_text())
    kept = json.loads(re.findall(r"FILES = (\[.*?\])", workers[0])[0])
    there = {path.name for path in (tmp_path / "one").iterdir()}
    assert set(kept) == {"./"} | there - {"worker.js", "manifest.webmanifest"}
    assert workers[0] != workers[1]


def test_a_single_file_asks_for_nothing_and_its_policy_names_its_own_scripts(tmp_path: Path) -> None:
    write_site(MODEL, tmp_path / "one.html", "int8", TITLES, Page("<b>Mine", one_file=True))
    page = (tmp_path / "one.html").read_text(encoding="utf-8")
    policy = policy_of(page)
    scripts = re.findall(r"<script type=\"module\">(.*?)</script>", page, flags=re.S)
    styles = re.findall(r"<style>(.*?)</style>", page, flags=re.S)
    for directive, texts in (("script-src", scripts), ("style-src", styles)):
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        assert policy[directive] == [f"'sha256-{digest}'" for digest in digests] and len(digests) == 1
    assert (
        policy["default-src"] == ["'none'"] and policy["img-src"] == ["data:"] and "connect-src" not in policy
    )
    assert not re.search(
        r"<(?:link|img|iframe)|src=\"(?!x)", re.sub(r"<script.*?</script>", "", page, flags=re.S)
    )
    assert page.count("<script") == 3 and "<title>&lt;b&gt;Mine</title>" in page
    items = json.loads(re.findall(r'id="items">(.*?)</script>', page, flags=re.S)[0])
    assert {title for _, title in items} == {one.title for one in TITLES.values()}


def test_integers_that_javascript_would_round_are_written_as_text(tmp_path: Path) -> None:
    large = replace(MODEL, item_ids=np.arange(40) + 2**53)
    write_site(large, tmp_path / "site", "int8", {})
    items = json.loads((tmp_path / "site" / "items.json").read_text())
    assert set(items) == {str(row + 2**53) for row in range(40)}


def test_a_model_without_items_makes_no_page(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no items"):
        write_site(keep_items(MODEL, np.zeros(0, np.intp)), tmp_path / "site", "int8", {})
    assert not (tmp_path / "site").exists()


def test_modules_are_bundled_without_imports() -> None:
    text = bundled([*MODULES, "page.js"])
    assert not re.search(r"^\s*(import|export)\b|import\(", text, flags=re.M)
    assert "return { ModelError, UnknownIdError, SeenItemsMissingError, Recommender, read, sum };" in text


# -- titles


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("7,One\n9,Two\n", {0: ("One", ""), 1: ("Two", "")}),
        ('movieId,title,genres\n7,"One, or more",Drama\n', {0: ("One, or more", "")}),
        ('item\tpicture\ttitle\n9\ta b.png\t"Two"\n', {1: ('"Two"', "a b.png")}),
        ("\ufeff7,One,https://host/a.png\n8,None\n\n", {0: ("One", "https://host/a.png")}),
    ],
)
def test_titles_are_read(tmp_path: Path, text: str, found: dict[int, tuple[str, str]]) -> None:
    (tmp_path / "titles").write_text(text, encoding="utf-8")
    assert read_titles(str(tmp_path / "titles"), Ids(np.array([7, 9]))) == found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"7\n", "line 1 has no title"),
        (b"7,One,javascript:alert(1)\n", "has the picture 'javascript:alert"),
        (b"7,One,https://a;script-src *\n", "has the picture"),
        (b"7,One,//host/a.png\n", "has the picture"),
        (b"7,\xff\n", "not text in UTF-8"),
        (b"1,One\n", "no title of an item"),
        (b'7,"One\n', "no sound CSV"),
    ],
)
def test_titles_that_are_none_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "titles").write_bytes(content)
    with pytest.raises(DataError, match=re.escape(said)):
        read_titles(str(tmp_path / "titles"), Ids(np.array([7, 9])))


# -- in a browser

DRIVER = """<!doctype html><iframe src="index.html"></iframe><pre id="told"></pre><script>
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const frame = document.querySelector("iframe");
const inside = () => frame.contentDocument;
const texts = (selector) => [...inside().querySelectorAll(selector)].map((one) => one.textContent);
const ready = async () => { while (!inside()?.documentElement?.dataset.ready) await wait(10); };
const reload = async () => { frame.contentWindow.location.reload(); await wait(300); await ready(); };
const click = (selector) => inside().querySelector(selector).click();
const tell = (told) => { document.getElementById("told").textContent = JSON.stringify(told); };
addEventListener("load", () => drive().then(tell, (error) => tell({ error: `${error}` })));
async function drive() {
  const told = {};
  await ready();
  told.status = texts("#status");
  told.first = texts("#recommended .name");
  const search = inside().querySelector("#search");
  search.value = "2 SCRIPT";
  search.dispatchEvent(new Event("input"));
  told.found = texts("#found .name");
  click("#found button");
  click("#recommended li:nth-child(2) button");
  told.picked = texts("#picked .name");
  told.recommended = texts("#recommended .name");
  told.why = texts("#recommended .why");
  told.stored = Object.entries(frame.contentWindow.localStorage);
  await reload();
  told.kept = texts("#picked .name");
  click("#picked button");
  told.left = texts("#picked .name");
  click("#delete");
  told.deleted = Object.entries(frame.contentWindow.localStorage).length + texts("#picked .name").length;
  told.titles = [document.title, inside().title];
  told.asked = frame.contentWindow.performance.getEntriesByType("resource").map((one) => one.name);
  return told;
}
</script>
"""


CONTROLLED = """new Promise((done) => {
  const look = () => navigator.serviceWorker.controller ? done() : setTimeout(look, 20);
  look();
})"""


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fism", "mf", "ridge"])
def test_the_page_recommends_keeps_and_deletes(tmp_path: Path, kind: str) -> None:
    makers = {
        "fism": MODEL,
        "mf": make_model(n_items=40, seed=2),
        "ridge": make_ridge_model(6, n_items=40, seed=3),
    }
    write_site(makers[kind], tmp_path, "int8", TITLES)
    (tmp_path / "test.html").write_text(DRIVER)
    with serving(tmp_path) as address:
        page = dump(f"{address}test.html")
    told = json.loads(html.unescape(re.findall(r'<pre id="told">(.*?)</pre>', page, flags=re.S)[0]))
    recommender = Recommender.open(tmp_path / "model.safetensors")
    items = [item for item, _ in json.loads((tmp_path / "items.json").read_text())]
    assert told["status"] == ["Ready."] and told["first"] == [TITLES[item].title for item in items[:20]]
    found = [
        item
        for item in items
        if "2" in f"{TITLES[item].title}{item}" and "script" in TITLES[item].title.lower()
    ]
    assert told["found"] == [TITLES[item].title for item in found[:12]]
    second = recommender.recommend_for_items(found[:1], 2).items[1]
    liked = [found[0], second]
    assert told["picked"] == told["kept"] == [TITLES[int(item)].title for item in liked]
    expected = recommender.recommend_for_items(liked, 20).items
    assert told["recommended"] == [TITLES[int(item)].title for item in expected]
    assert told["why"] and all(one.startswith("because you like ") for one in told["why"])
    assert [json.loads(value) for _, value in told["stored"]] == [liked]
    assert told["left"] == [TITLES[int(second)].title] and told["deleted"] == 0
    assert told["titles"] == ["", "Recommendations"]
    names = {one.removeprefix(address) for one in told["asked"]}
    assert names <= {path.name for path in tmp_path.iterdir()}


@needs_chromium
@pytest.mark.slow
def test_a_single_file_works_where_it_lies(tmp_path: Path) -> None:
    write_site(MODEL, tmp_path / "one.html", "float16", TITLES, Page(one_file=True))
    page = dump((tmp_path / "one.html").as_uri())
    assert 'data-ready="yes"' in page and "<title>Recommendations</title>" in page
    shown = re.findall(r'<p class="name">(.*?)</p>', page, flags=re.S)
    popular = Recommender(MODEL.encode()).popular_items.tolist()
    assert [html.unescape(one) for one in shown] == [TITLES[item].title for item in popular[:20]]


@needs_chromium
@pytest.mark.slow
def test_the_page_is_used_by_keyboard_alone_and_without_a_network(tmp_path: Path) -> None:
    """With real keys, by playwright, where it is installed."""
    playwright = pytest.importorskip("playwright.sync_api")
    write_site(MODEL, tmp_path / "site", "int8", {row: Titled(f"Film {row}", "") for row in range(40)})
    with serving(tmp_path / "site") as address, playwright.sync_playwright() as drive:
        browser = drive.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=CHROMIUM, args=FLAGS, headless=True
        )
        try:
            page = browser.new_page()
            page.goto(address)
            page.wait_for_selector("html[data-ready=yes]")
            page.evaluate(CONTROLLED)
            asked: list[str] = []
            browser.on("request", lambda request: asked.append(request.url))
            for key in ("Tab", "Tab"):  # over the link that skips, to the search
                page.keyboard.press(key)
            page.keyboard.type("film 3")
            page.keyboard.press("Tab")
            page.keyboard.press("Space")
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
            assert page.locator("#picked li").count() == 2
            assert page.get_attribute("#found li:nth-child(2) button", "aria-pressed") == "true"
            assert page.evaluate("document.activeElement.closest('ul').id") == "found"
            assert "on your list" in page.inner_text("#status")
            assert not asked  # once it is loaded, nothing is asked for
            browser.set_offline(True)
            page.reload()
            page.wait_for_selector("html[data-ready=yes]")
            assert page.locator("#picked li").count() == 2 and page.locator("#recommended li").count() == 20
            page.focus("#picked button")
            page.keyboard.press("Enter")
            page.keyboard.press("Enter")
            assert page.locator("#picked li").count() == 0
            assert page.evaluate("document.activeElement.id") == "picked-title"
            with page.expect_download() as download:
                page.click("#recommended button")
                page.click("#export")
            saved = json.loads(Path(download.value.path()).read_text())
            assert len(saved["picked"]) == 1 and saved["picked"][0]["title"].startswith("Film")
        finally:
            browser.close()
