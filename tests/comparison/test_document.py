"""A page: the same content as HTML that asks for nothing, and as Markdown."""

from __future__ import annotations

from html.parser import HTMLParser

from sparserec_np.comparison.document import Figure, Heading, Listing, Prose, Table, as_html, as_markdown

BLOCKS = [
    Heading("A <page>", 1),
    Prose("x_1 < y & z"),
    Table(["name", "n|m"], [["a|b", "1.5"], ["<script>", "-2"]]),
    Figure("<svg><path d='M 0 0'/></svg>", "a picture"),
    Listing("as <it> stands"),
]


class Checker(HTMLParser):
    """Counts tags, and what would be asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.asked: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "path"):
            self.open.append(tag)
        self.asked += [
            value for name, value in attrs if name in ("src", "href") and not value.startswith(("#", "data:"))
        ]

    def handle_endtag(self, tag):
        if tag != "path":
            assert self.open.pop() == tag


def check(text: str) -> None:
    checker = Checker()
    checker.feed(text)
    assert not checker.open and not checker.asked
    for word in ("http:", "https:", "@import", "url(h", "<script"):
        assert word not in text, word


def test_html_is_whole_escaped_and_asks_for_nothing() -> None:
    text = as_html(BLOCKS)
    check(text)
    assert "<title>A &lt;page&gt;</title>" in text and "x_1 &lt; y &amp; z" in text
    assert "default-src 'none'" in text and "prefers-color-scheme: dark" in text and "@media print" in text
    assert '<td class="n">1.5</td>' in text and "<td>a|b</td>" in text


def test_markdown_says_the_same() -> None:
    assert as_markdown(BLOCKS) == (
        "# A <page>\n\nx\\_1 \\< y & z\n\n| name | n\\|m |\n| --- | ---: |\n| a\\|b | 1.5 |\n| \\<script> | -2 |\n\n"
        "*A picture in the HTML page: a picture*\n\n```\nas <it> stands\n```\n"
    )
