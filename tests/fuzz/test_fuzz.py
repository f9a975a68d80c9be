"""A few thousand damaged and hostile files, and every one that the reader once failed on."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.runtime import ArtifactError, Recommender, read_artifact
from sparserec_np.serving.model_file import load_model
from tests.fuzz import check as checks
from tests.fuzz import mapped, others
from tests.fuzz.check import Fault, check
from tests.fuzz.mutations import Draft, Raw, sound_files
from tests.fuzz.run import fuzz, make_file
from tests.fuzz.scratch import SCRATCH
from tests.makers.served_models import make_model

CHECKOUT = Path(__file__).parents[2]


def test_a_few_thousand_files_are_refused_or_served_soundly() -> None:
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        sentences, faults = fuzz(seed=0, first=0, count=3_000, folder=Path(folder), trace=False)
    assert not faults
    # The changes get far: many different checks refuse them, and some files are served.
    assert len(sentences) > 60
    assert 250 < sentences["accepted"] < 1_500


def test_memory_stays_in_proportion_to_the_file(tmp_path: Path) -> None:
    _, faults = fuzz(seed=0, first=3_000, count=300, folder=tmp_path)
    assert not faults


def test_a_thousand_files_of_interactions_are_refused_or_read_soundly() -> None:
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        sentences, faults = mapped.fuzz(seed=0, first=0, count=1_000, folder=Path(folder), trace=False)
        _, larger = mapped.fuzz(seed=0, first=1_000, count=200, folder=Path(folder))
        for content in mapped.sound_files():
            (Path(folder) / "sound").write_bytes(content)
            assert mapped.check(Path(folder) / "sound") is None
    assert not faults + larger
    assert len(sentences) > 40
    assert 50 < sentences["accepted"] < 300


@pytest.mark.parametrize("place", range(len(sound_files())))
def test_sound_files_are_accepted_and_survive_being_taken_apart(tmp_path: Path, place: int) -> None:
    data = sound_files()[place]
    draft = Draft.read(data)
    assert draft is not None
    for content in (data, draft.render()):
        (tmp_path / "model").write_bytes(content)
        assert check(tmp_path / "model") is None


def test_a_seed_and_a_number_make_one_file() -> None:
    sound = sound_files()
    assert make_file(sound, 1, 7) == make_file(sound_files(), 1, 7)
    assert len({make_file(sound, 1, number) for number in range(50)}) > 40


# -- files that the reader once failed on

# In order: Infinity in the output of `inspect --json`; numbers and nestings that no consumer of
# metrics could use.
METRICS = [
    '{"x": 1e999}',
    '{"x": -1e999}',
    '{"x": 1' + "0" * 400 + "}",
    '{"x": "a"}',
    '{"x": "\\u001b[2J"}',
    '{"x": {"y": 1}}',
    '{"x": [1]}',
    '{"x": null}',
    '{"x": true}',
    '{"\\ud800": 1}',
    '{"x": ' + "[" * 800 + "]" * 800 + "}",
]


@pytest.mark.parametrize("metrics", METRICS)
def test_metrics_are_finite_numbers_by_name(tmp_path: Path, metrics: str) -> None:
    assert "metadata metrics" in str(refused(tmp_path, metadata={"metrics": metrics}))


@pytest.mark.parametrize("name", ["user_ids", "item_ids"])
def test_an_id_that_an_array_of_text_would_change_is_refused(tmp_path: Path, name: str) -> None:
    sentence = refused(tmp_path, change={f"{name}.text": lambda text: np.where(text == ord("0"), 0, text)})
    assert f"{name}.text holds an id that ends in a zero character" in str(sentence)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dtype", Raw("[" * 900 + "]" * 900)),
        ("dtype", "x" * 100_000),
        ("shape", list(range(20_000))),
        ("data_offsets", [2**400] * 300),
    ],
)
def test_a_long_lie_is_answered_with_a_short_sentence(tmp_path: Path, field: str, value: Any) -> None:
    draft = Draft.read(sound_files()[0])
    assert draft is not None
    draft.entries[0] = {field: value}
    (tmp_path / "model").write_bytes(draft.render())
    sentence = check(tmp_path / "model")
    assert sentence is not None
    assert len(sentence) < 1_000
    assert field in sentence


def test_one_long_id_among_many_does_not_ask_for_gigabytes(tmp_path: Path) -> None:
    """A file of half a megabyte; as wide as the longest, all ids together would take four gigabytes."""
    names = [f"user {number}" for number in range(5_000)] + ["y" * 200_000]
    artifact = make_model(n_users=len(names), n_items=3, dim=2).encode()
    ids = {
        "user_ids.text": np.frombuffer("".join(names).encode(), np.uint8),
        "user_ids.offsets": np.cumsum([0, *map(len, names)], dtype=np.int32),
    }
    write_artifact(tmp_path / "long", artifact.arrays | ids, artifact.metadata | {"user_id_kind": "text"})
    loaded = load_model(tmp_path / "long").user_ids
    assert loaded.nbytes < 1_000_000 and loaded.tolist() == names
    assert len(Recommender.open(tmp_path / "long").recommend(names[-1], 1).items) == 1


def refused(tmp_path: Path, metadata: dict[str, str] | None = None, change: Any = None) -> ArtifactError:
    """What is said of a sound file of text ids after a change."""
    (tmp_path / "sound").write_bytes(sound_files()[4])
    artifact = read_artifact(tmp_path / "sound")
    arrays = dict(artifact.arrays)
    for name, function in (change or {}).items():
        arrays[name] = function(arrays[name]).astype(arrays[name].dtype)
    write_artifact(tmp_path / "changed", arrays, artifact.metadata | (metadata or {}))
    with pytest.raises(ArtifactError) as raised:
        Recommender.open(tmp_path / "changed")
    assert check(tmp_path / "changed") is not None
    return raised.value


# -- that the search would find what it looks for


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(sound_files()[0])
    return path


def broken(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Has every list of the Recommender changed on its way out."""
    sound_way = Recommender.recommend

    def recommend(self: Recommender, user: Any, n: int = 20) -> Any:
        found = sound_way(self, user, n)
        return type(found)(*change(list(found.items), list(found.scores)))

    monkeypatch.setattr(Recommender, "recommend", recommend)


@pytest.mark.parametrize(
    "change",
    [
        lambda items, scores: (items[:-1], scores[:-1]),
        lambda items, scores: (items[:1] * len(items), scores),
        lambda items, scores: ([99] * len(items), scores),
        lambda items, scores: ([0, *items[1:]], scores),  # everybody has seen item 0
        lambda items, scores: (items, scores[::-1]),
        lambda items, scores: (items, [score + 1 for score in scores]),
        lambda items, scores: (items, [float("nan")] * len(scores)),
        lambda items, scores: ([], []),
    ],
)
def test_wrong_lists_are_faults(sound: Path, monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    assert check(sound) is None
    broken(monkeypatch, change)
    with pytest.raises(Fault):
        check(sound)


def test_a_reader_that_hangs_is_a_fault(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(items: Any, scores: Any) -> Any:
        while True:
            pass

    monkeypatch.setattr(checks, "SECONDS", 0.1)
    broken(monkeypatch, hang)
    with pytest.raises(Fault, match="took more than"):
        check(sound)


def test_a_crash_is_reported_and_its_file_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(items: Any, scores: Any) -> Any:
        raise IndexError("out of bounds")

    broken(monkeypatch, crash)
    sentences, faults = fuzz(seed=3, first=10, count=40, folder=tmp_path, keep=tmp_path / "kept")
    assert faults
    assert len(list((tmp_path / "kept").iterdir())) == len(faults)
    assert sum(sentences.values()) == 40 - len(faults)
    assert isinstance(sentences, Counter)
    assert "IndexError: out of bounds" in faults[0]


def test_memory_out_of_proportion_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MEMORY", 1_000)
    monkeypatch.setattr(checks, "MEMORY_PER_BYTE", 0)
    _, faults = fuzz(seed=0, first=0, count=3, folder=tmp_path)
    assert any("bytes of memory" in fault for fault in faults)


def test_the_runner_counts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.run", "--count", "20", "--keep", str(tmp_path / "kept")]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("20 files in ")
    assert done.stdout.splitlines()[-1].endswith(" 0 faults")
    assert not (tmp_path / "kept").exists()


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="Atheris is not installed: the extra [fuzz]"
)
def test_the_coverage_guided_target_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.atheris_target", str(tmp_path / "corpus"), "-runs=300"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Done 300 runs" in done.stderr


@pytest.mark.parametrize("name", others.KINDS)
def test_hundreds_of_other_files_are_refused_or_read_soundly(name: str) -> None:
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        sentences, faults = others.fuzz(others.KINDS[name], seed=0, first=0, count=400, folder=Path(folder))
    assert not faults
    assert len(sentences) > 2 and sentences["accepted"] < 200


def test_a_checkpoint_that_is_not_what_was_written_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = others.KINDS["checkpoints"]
    monkeypatch.setattr("sparserec_np.training.checkpoints.digest_of", lambda arrays: "none")
    _, faults = others.fuzz(kind, seed=0, first=0, count=200, folder=tmp_path)
    assert any("taken for a sound one" in fault for fault in faults)
