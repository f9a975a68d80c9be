"""The results of a run: a JSON file that grows with each measurement, and the Markdown made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.figures import prose, replace_between
from benchmarks.output import write, write_json
from benchmarks.side_by_side import pictures
from benchmarks.side_by_side.contender import Record
from benchmarks.side_by_side.parts import PARTS

BEGIN = "<!-- written by benchmarks/side_by_side: what stands from here -->"
END = "<!-- to here is replaced by its next run -->"
SUFFIX = "-side-by-side"


class Results:
    """What has been measured so far.

    Attributes:
        path: the JSON file.
        about: data, machine and settings; measurements of another commit or machine are not gone on
            with.
        runs: by part and row, the record of each repetition.
        missing: by part and row, the package that is not installed.
        failed: by part and row, the last words of a measurement that failed.
    """

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path, self.about = path, about
        self.runs: dict[str, dict[str, list[Record]]] = {}
        self.missing: dict[str, dict[str, str]] = {}
        self.failed: dict[str, dict[str, str]] = {}

    def take_up(self) -> int:
        """Goes on with the file, if it was made by the same code of the same things; returns the records found."""
        if not self.path.exists() or "changes" in self.about["machine"]["commit"]:
            return 0
        found = self.read(self.path)
        if _without_date(found.about) != _without_date(self.about):
            return 0
        self.runs, self.missing, self.failed = found.runs, found.missing, found.failed
        return sum(len(records) for rows in self.runs.values() for records in rows.values())

    def done(self, part: str, row: str) -> int:
        """Repetitions measured."""
        return len(self.runs.get(part, {}).get(row, []))

    def add(self, part: str, row: str, record: Record) -> None:
        """Keeps a record, and writes the file."""
        self.runs.setdefault(part, {}).setdefault(row, []).append(record)
        self.save()

    def save(self) -> None:
        """Writes the file, whole or not at all."""
        content = {name: getattr(self, name) for name in ("about", "runs", "missing", "failed")}
        write_json(self.path, content)

    @classmethod
    def read(cls, path: Path) -> Results:
        """Reads what was saved."""
        found = json.loads(path.read_text(encoding="utf-8"))
        results = cls(path, found["about"])
        results.runs, results.missing, results.failed = (
            found[name] for name in ("runs", "missing", "failed")
        )
        return results

    def write_page(self) -> tuple[Path, str]:
        """Draws the pictures and writes the page beside the JSON file; returns where, and the text.

        What stands on an earlier page above and below the marks is kept.
        """
        stem = self.path.with_name(self.path.stem.removesuffix(SUFFIX))
        text = self.markdown({part: path.name for part, path in pictures.draw(self.runs, stem).items()})
        page = self.path.with_suffix(".md")
        before = page.read_text(encoding="utf-8") if page.exists() else ""
        write(page, replace_between(before, BEGIN, END, text))
        return page, text

    def markdown(self, drawn: dict[str, str]) -> str:
        """All parts that have been measured, each under a heading, with its picture (links by part) if it has one."""
        lines = ["# Side by side", "", *self._provenance()]
        for name, part in PARTS.items():
            rows = {row: self.runs.get(name, {}).get(row, []) for row in part.contenders}
            rows = {row: records for row, records in rows.items() if records}
            notes = [
                f"{row}: {package} is not installed." for row, package in self.missing.get(name, {}).items()
            ]
            notes += [f"{row}: FAILED, {words}" for row, words in self.failed.get(name, {}).items()]
            if not rows and not notes:
                continue
            lines += ["", f"## {part.title}"]
            lines += ["", part.section(rows)] if rows else []
            repeats = max(map(len, rows.values()), default=0)
            lines += ["", f"{repeats} repetitions."] if repeats > 1 else []
            lines += ["", *(prose(f"* {note}") for note in notes)] if notes else []
            lines += ["", f"![{part.title}]({drawn[name]})"] if name in drawn else []
        return "\n".join(lines)

    def _provenance(self) -> list[str]:
        """Says what was measured, where and how."""
        about, machine = self.about, self.about["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        words = (
            f"{about['users']:,} users, {about['items']:,} items, {about['interactions']:,} training pairs"
            f" ({about['data']}). Measured on {machine['date']}, commit {machine['commit']}, {machine['processor']},"
            f" {machine['cores']} cores, {machine['threads']} threads for every contender, {machine['system']},"
            f" Python {machine['python']}, {versions}. Every measurement is a process of its own; those of a part take"
            " turns. Figures are medians, with the least and the most behind them. Memory is the peak of resident"
            " memory above what the process had after its imports."
        )
        return [prose(words), "", "```bash", about["command"], "```"]


def _without_date(about: dict[str, Any]) -> dict[str, Any]:
    machine = {name: value for name, value in about["machine"].items() if name != "date"}
    return json.loads(json.dumps(about | {"machine": machine}))
