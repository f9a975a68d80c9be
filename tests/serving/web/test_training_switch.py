"""The switch of a page by which people take part in training: off until they say yes, and it says what is sent."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sparserec_np.errors import ConfigError, DataError
from sparserec_np.federated.server import Server
from sparserec_np.federated.spectral import SpectralWay
from sparserec_np.serving.web.server import FolderServer
from sparserec_np.serving.web.site import Page, write_site
from sparserec_np.serving.web.titles import Titled
from sparserec_np.serving.web.training import check_address, with_training
from tests.makers.clients import server_for, world
from tests.makers.devices import Served, all_take_part, running, served, token
from tests.makers.served_models import make_fism_model
from tests.serving.web.browser import CHROMIUM, FLAGS, needs_chromium

MODEL = make_fism_model(8, seed=1, n_items=40, dim=12, density=0.5)
TITLES = {row: Titled(f"Film {row}", "") for row in range(40)}
SERVER = "https://example.org:8443/learn"


def test_a_page_has_the_switch_only_if_it_is_told_of_a_server(tmp_path: Path) -> None:
    plain, told = tmp_path / "plain", tmp_path / "told"
    write_site(MODEL, plain, "int8", TITLES)
    write_site(MODEL, told, "int8", TITLES, Page(training=SERVER))
    new = {path.name for path in told.iterdir()} - {path.name for path in plain.iterdir()}
    assert new == {"federated.js", "training.js"}
    page = (told / "index.html").read_text()
    assert f'data-address="{SERVER}"' in page and "unless you say yes" in page
    policy = html.unescape(page)
    assert "connect-src 'self' https://example.org:8443;" in policy and "default-src 'none'" in policy
    worker = (told / "worker.js").read_text()
    assert '"federated.js", "training.js"' in worker
    plain_page = (plain / "index.html").read_text()
    assert "training" not in re.sub("<!--.*?-->", "", plain_page) and "example.org" not in plain_page
    version = re.compile(r"\$\{OURS\}(\w{16})`")
    assert version.findall(worker) != version.findall((plain / "worker.js").read_text())
    changed = with_training(plain_page, (plain / "worker.js").read_text(), SERVER)
    assert changed == {name: (told / name).read_text() for name in changed}


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://example.org", "has no TLS"),
        ("ftp://example.org", "Expected an address"),
        ("https://a;script-src *", "Expected an address"),
        ("https://example.org/?a=b", "Expected an address"),
        ("https://[", "Expected an address"),
        ("example.org", "Expected an address"),
    ],
)
def test_other_addresses_are_refused_before_anything_is_written(
    tmp_path: Path, address: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        write_site(MODEL, tmp_path / "site", "int8", TITLES, Page(training=address))
    assert not (tmp_path / "site").exists()
    assert check_address("http://localhost:8000/learn") == "http://localhost:8000"


def test_a_page_that_has_its_switch_gets_no_second_one(tmp_path: Path) -> None:
    write_site(MODEL, tmp_path, "int8", TITLES, Page(training=SERVER))
    with pytest.raises(DataError, match="takes part in training already"):
        with_training((tmp_path / "index.html").read_text(), (tmp_path / "worker.js").read_text(), SERVER)


# -- in a browser


@dataclass
class Shown:
    """A page with the switch, open in a browser, and the server that it may ask."""

    page: Any
    place: Served
    server: Server
    asked: list[str]  # addresses of what the page asked for since it was loaded


@contextmanager
def shown(folder: Path, clients: int) -> Iterator[Shown]:
    """Opens a page whose server has so many clients; the page's is the last."""
    playwright = pytest.importorskip("playwright.sync_api")
    log, _ = world(clients, 40)
    write_site(MODEL, folder / "site", "int8", TITLES)
    (folder / "instead").mkdir()
    server = FolderServer(str(folder / "site"), 0, str(folder / "instead"))
    origins = [server.address.rstrip("/")]
    with server, server.running() as address, served(clients, log.item_ids, origins=origins) as place:
        texts = [(folder / "site" / name).read_text() for name in ("index.html", "worker.js")]
        for name, text in with_training(*texts, place.address).items():
            (folder / "instead" / name).write_text(text)
        with playwright.sync_playwright() as drive:
            browser = drive.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page()
            page.goto(address)
            page.wait_for_selector("html[data-ready=yes]")
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            yield Shown(page, place, server_for(log, SpectralWay()), asked)
            browser.close()


@needs_chromium
@pytest.mark.slow
def test_nothing_is_sent_until_the_person_says_yes_and_what_is_sent_is_shown(tmp_path: Path) -> None:
    with shown(tmp_path, 6) as seen:
        page = seen.page
        assert page.inner_text("#training-state") == "This is off, and nothing is sent."
        page.click("#training-yes")
        assert "A code has 16 to 200" in page.inner_text("#training-status")
        page.fill("#training-code", token(5))
        page.click("#training-yes")
        assert "Your list is empty" in page.inner_text("#training-status")
        for name in ("Film 3", "Film 7"):
            page.fill("#search", name)
            page.click("#found li:first-child button")
        liked = sorted(
            page.locator("#picked .name").all_inner_texts(), key=lambda title: int(title.split()[1])
        )
        page.wait_for_timeout(300)
        assert not [one for one in seen.asked if one.startswith(seen.place.address)]
        with running(seen.place.desk, seen.server) as ledgers:
            threads, _ = all_take_part(seen.place.address, [[item, item + 1] for item in range(5)])
            page.focus("#training-yes")
            page.keyboard.press("Enter")
            page.wait_for_selector("#training-no:not([disabled])")
            assert page.evaluate("document.activeElement.id") == "training-no"
        seen.place.desk.end(20)
        page.wait_for_selector("#training-yes:not([disabled])", timeout=20_000)
        for thread in threads:
            thread.join(20)
        passes = len(ledgers[0].passes)
        assert [one["answers"] for one in ledgers[0].passes] == [6] * passes
        assert page.inner_text("#training-status").startswith(
            f"The training is over: {passes} answers of yours"
        )
        sent = page.locator("#training-sent li").all_inner_texts()
        assert len(sent) == passes and any(f"that your list holds {', '.join(liked)}" in one for one in sent)
        assert any("whole numbers from -127 to 127, computed from your list" in one for one in sent)
        assert page.evaluate("document.activeElement.id") == "training-yes"


@needs_chromium
@pytest.mark.slow
def test_stopping_forgets_the_code_and_a_wrong_one_is_said(tmp_path: Path) -> None:
    with shown(tmp_path, 3) as seen:
        page = seen.page
        page.fill("#search", "Film 3")
        page.click("#found li:first-child button")
        page.fill("#training-code", "a-code-that-nobody-has-been-given")
        page.click("#training-yes")
        page.wait_for_selector("#training-yes:not([disabled])")
        assert "The server does not know this code" in page.inner_text("#training-status")
        page.fill("#training-code", token(2))
        with running_alone(seen):
            page.click("#training-yes")
            page.wait_for_selector("#training-sent li")
            page.reload()
            page.wait_for_selector("html[data-ready=yes]")
            assert page.input_value("#training-code") == token(2)
            assert page.inner_text("#training-state") == "This is off, and nothing is sent."
            page.click("#training-yes")
            page.click("#training-no")
            assert page.input_value("#training-code") == "" and page.evaluate("sessionStorage.length") == 0
            before = len(seen.asked)
            page.wait_for_timeout(2_500)  # longer than a client is told to wait
            assert len(seen.asked) == before


@contextmanager
def running_alone(seen: Shown) -> Iterator[None]:
    """Has the server ask; the other clients answer when the context is left."""
    with running(seen.place.desk, seen.server):
        yield
        threads, _ = all_take_part(seen.place.address, [[1], [2, 3], [4]])
    seen.place.desk.end(20)
    for thread in threads:
        thread.join(20)
