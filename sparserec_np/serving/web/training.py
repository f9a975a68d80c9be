"""The switch by which a page takes part in federated training: off until the person says yes.

It is ``training.html`` and ``training.js`` beside this module, and ``federated.js``, which asks the
server and answers it; they are in a site only if it is told of a server.
"""

from __future__ import annotations

import hashlib
import html
import re
from importlib import resources
from string import Template
from urllib.parse import urlsplit

from sparserec_np.errors import ConfigError, DataError
from sparserec_np.serving.web.titles import origin_of

HERE = ("127.0.0.1", "::1", "localhost")
FILES = ("federated.js", "training.js")
PLACE = "<!-- training -->"
UNLESS = '<span id="unless"></span>'
SCRIPT = '<script type="module" src="page.js"></script>'
CONNECTIONS = "connect-src " + html.escape("'self'")
KEPT = 'FILES = ["./", '


def with_training(page: str, worker: str, address: str) -> dict[str, str]:
    """Makes the files of a site that takes part in training, those that change and those that are new.

    Args:
        page, worker: ``index.html`` and ``worker.js`` of a site.
        address: of the server, such as ``https://example.org/learn``; without TLS on this machine.

    Raises ConfigError for another address, DataError where the page is none of this library or has
    its switch already.
    """
    origin = check_address(address)
    places = [(page, part) for part in (PLACE, UNLESS, SCRIPT, CONNECTIONS)] + [(worker, KEPT)]
    if not all(text.count(part) == 1 for text, part in places):
        raise DataError(
            "The page is none of this version's `export --to web`, or takes part in training already: export it anew"
        )
    section = Template(_read("training.html")).substitute(
        address=html.escape(address.rstrip("/")), host=html.escape(urlsplit(address).netloc)
    )
    page = (
        page.replace(PLACE, section.rstrip())
        .replace(UNLESS, " unless you say yes to it below")
        .replace(SCRIPT, SCRIPT.replace("page.js", "training.js") + "\n" + SCRIPT)
        .replace(CONNECTIONS, f"{CONNECTIONS} {origin}")
    )
    texts = {"index.html": page} | {name: _read(name) for name in FILES}
    digest = hashlib.sha256("".join([worker, *texts.values()]).encode()).hexdigest()[:16]
    worker = worker.replace(KEPT, KEPT + "".join(f'"{name}", ' for name in FILES))
    return texts | {"worker.js": re.sub(r"(?<=`\$\{OURS\})\w+", digest, worker)}


def check_address(address: str) -> str:
    """Checks the address of a server, and returns its origin, for a policy.

    Raises ConfigError for what is none, and for one without TLS that is not on this machine.

    >>> check_address("https://example.org:8443/learn"), check_address("http://127.0.0.1:8000")
    ('https://example.org:8443', 'http://127.0.0.1:8000')
    """
    try:
        parts = urlsplit(address)
        host, origin = parts.hostname, origin_of(address)
    except ValueError:
        host = origin = None
    if (
        origin is None
        or parts.scheme not in ("http", "https")
        or parts.query
        or parts.fragment
        or not address.isprintable()
    ):
        raise ConfigError(f"Expected an address such as https://example.org/learn, found {address!r}")
    if parts.scheme == "http" and host not in HERE:
        raise ConfigError(
            f"{address} has no TLS, so that whoever carries a code could take it: give an address with https"
        )
    return origin


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
