"""A device tries again when it makes sense, follows nobody with its token, and says what is wrong."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from sparserec_np.errors import ConfigError, DataError, PacketError, SparseRecError
from sparserec_np.federated.device import Line, Patience, kept_back, main, take_part
from sparserec_np.federated.packets import Kind, Question
from sparserec_np.federated.server import Server
from sparserec_np.federated.spectral import SpectralWay
from sparserec_np.training.settings import Config
from tests.makers.devices import HASTY, running, served, token

ALONE = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("scipy", "numba", "sklearn", "threadpoolctl", "click", "llvmlite"):
            raise ImportError(name)
sys.meta_path.insert(0, Nothing())
from sparserec_np.federated.device import main
sys.exit(main(sys.argv[1:]))
"""
QUESTION = Question(Kind.COUNT, 7, 3).encode()


@contextmanager
def telling(*replies: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[str, list[str]]]:
    """A server that replies so, one after the other; its address, and the requests that came."""
    left, seen = list(replies), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            seen.append(f"{self.command} {self.path} {self.headers.get('Authorization')}")
            status, headers, body = left.pop(0)
            if status == 0:
                return  # hangs up
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


ITEMS = (200, {}, b'["a", "b", "c"]')
OVER = (410, {}, b'{"reason": "over", "error": "It is over"}')


def test_it_tries_again_until_the_server_speaks() -> None:
    replies = [(0, {}, b""), (503, {"Retry-After": "1"}, b""), ITEMS, (204, {"Retry-After": "1"}, b"")]
    replies += [
        (200, {}, QUESTION),
        (502, {}, b""),
        (204, {}, b""),
        (200, {}, QUESTION),
        (409, {}, b"{}"),
        OVER,
    ]
    with telling(*replies) as (address, seen):
        assert take_part(Line(address, "my-token", HASTY), ["b", "x"], b"secret") == 1
    assert [one.split()[1] for one in seen].count("/v1/answer") == 3
    assert all(one.endswith("Bearer my-token") for one in seen)


def test_it_gives_up_after_so_many_tries() -> None:
    with pytest.raises(SparseRecError, match="could not be reached in 4 tries"):
        Line("http://127.0.0.1:9", "my-token", HASTY).items()
    cut = (200, {"Content-Length": "400"}, b'["a"]')
    with (
        telling(cut, cut, cut, cut) as (address, _),
        pytest.raises(SparseRecError, match="closed within an answer"),
    ):
        Line(address, "my-token", HASTY).items()


def test_it_takes_no_token_elsewhere() -> None:
    with telling((200, {}, b"[]")) as (other, seen):
        with (
            telling((302, {"Location": f"{other}/v1/items"}, b"")) as (address, _),
            pytest.raises(SparseRecError, match="status 302"),
        ):
            Line(address, "my-token", HASTY).items()
        assert not seen
    for address in ("http://example.org/", "ftp://127.0.0.1/", "example.org", "http://127.0.0.1.example.org"):
        with pytest.raises(ConfigError):
            Line(address, "my-token")
    Line("https://example.org/learn/", "my-token")


def test_refusals_are_said_in_the_servers_words() -> None:
    said = json.dumps({"reason": "overflow", "error": "It is too much"}).encode()
    with (
        telling(ITEMS, (200, {}, QUESTION), (400, {}, said)) as (address, _),
        pytest.raises(PacketError) as bad,
    ):
        take_part(Line(address, "my-token", HASTY), ["a"], b"secret")
    assert bad.value.reason == "overflow" and "It is too much" in str(bad.value)
    with telling((403, {}, b"<html>")) as (address, _), pytest.raises(SparseRecError, match="no server of"):
        Line(address, "my-token", HASTY).items()
    for body in (b"<html>", b'{"a": 1}', b"[1, 2]"):
        with telling((200, {}, body)) as (address, _), pytest.raises(DataError, match="no catalogue"):
            Line(address, "my-token", HASTY).items()
    for part in ("1.5", "nan", "x"):
        odd = (200, {"Sparserec-Validation": part}, QUESTION)
        with telling(ITEMS, odd) as (address, _), pytest.raises(SparseRecError, match="no part of items"):
            take_part(Line(address, "my-token", HASTY), ["a"], b"secret")


def test_waits_grow_and_are_bounded() -> None:
    patience = Patience(longest=20)
    for failures, most in ((1, 1), (3, 4), (5, 16), (9, 20), (10_000, 20)):
        waits = [patience.after(failures) for _ in range(50)]
        assert most / 2 <= min(waits) <= max(waits) <= most and len(set(waits)) > 1


def test_what_is_kept_back_is_the_same_each_time() -> None:
    items = list(range(0, 60, 2))
    kept, held_out = kept_back(items, 0.1, b"mine")
    assert (kept, held_out) == kept_back(items, 0.1, b"mine") != kept_back(items, 0.1, b"yours")
    assert len(held_out) == 3 and sorted(kept + held_out) == items
    for few, part, size in (([], 0.5, 0), ([4], 0.9, 0), ([4, 5], 0.9, 1), ([4, 5], 0.0, 0)):
        assert len(kept_back(few, part, b"mine")[1]) == size


def test_the_program_needs_numpy_alone(tmp_path) -> None:
    server = Server(np.arange(4), SpectralWay(iterations=0), Config(dim=2, entries=6), clients=1)
    (tmp_path / "items.txt").write_text("1\n3\n\nunknown\n")
    (tmp_path / "token.txt").write_text(token(0) + "\n")
    with served(1, range(4)) as place:
        files = ["--items", str(tmp_path / "items.txt"), "--token-file", str(tmp_path / "token.txt")]
        with running(place.desk, server):
            program = subprocess.Popen(
                [sys.executable, "-c", ALONE, place.address, *files], stdout=subprocess.PIPE, text=True
            )
        place.desk.end(30)
        said = program.communicate(timeout=30)[0]
    assert (program.returncode, said) == (0, "The training is over: 2 answers were counted.\n")


def test_the_program_says_what_is_wrong(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    items, tokens = tmp_path / "items.txt", tmp_path / "token.txt"
    items.write_text("1\n")
    tokens.write_text("one\ntwo\n")
    given = ["--items", str(items), "--token-file", str(tokens)]
    assert main(["https://example.org", *given]) == 1
    assert "2 lines, expected one" in capsys.readouterr().err
    tokens.write_text("one\n")
    assert main(["http://example.org", *given]) == 1
    assert capsys.readouterr().err.startswith("Error: http://example.org has no TLS")
    items.unlink()
    assert main(["https://example.org", *given]) == 1
    assert "items.txt" in capsys.readouterr().err
