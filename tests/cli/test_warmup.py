"""``sparserec warmup``: what it says, and that a second one has nothing left to compile."""

from __future__ import annotations

import json


def test_a_second_warmup_compiles_nothing(installed):
    first = installed("warmup", "--json")
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert report["kernels"] >= report["compiled"] >= 0
    assert report["folder"]
    second = installed("warmup")
    assert second.returncode == 0, second.stderr
    rows = dict(
        line.split(maxsplit=2)[0::2] for line in second.stdout.splitlines() if line.startswith("compiled")
    )
    assert rows == {"compiled": "0"}
    assert f"kernels ready  {report['kernels']}\n" in second.stdout
    assert report["folder"] in second.stdout


def test_an_option_that_is_none_is_refused(run):
    refused = run("warmup", "--everything")
    assert refused.returncode == 2
    assert "No such option" in refused.stderr
