from __future__ import annotations

import gzip
import importlib
import inspect
import json
import os

import click
import numpy as np
import pytest
from click.testing import CliRunner

from sparserec_np.data import formats
from sparserec_np.data.formats import read_interactions
from sparserec_np.data.interactions import Interactions

options = importlib.import_module("cli.options")


@pytest.fixture
def ratings(tmp_path):
    """Twelve users, eight items, ratings and times, text ids; some pairs twice."""
    path = tmp_path / "ratings.csv"
    lines = [f"u{n % 12},i{(n + n // 12) % 8},{n % 5 + 1},{1000 + n}" for n in range(120)]
    path.write_text("user,item,rating,timestamp\n" + "\n".join(lines) + "\n")
    return path


def answer(done):
    """The one JSON object on stdout of a command that went well."""
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


def refusal(done, code=1):
    """The one sentence on stderr of a command that did not."""
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    return done.stderr


class TestDescribe:
    def test_json(self, installed, tmp_path):
        path = tmp_path / "train.txt"
        path.write_text("0 1 1 2\n5\n7 2\n")
        report = answer(installed("data", "describe", path, "--json"))
        assert report["format"] == "adjacency"
        assert (report["users"], report["items"], report["interactions"]) == (3, 2, 3)
        assert (report["duplicates_merged"], report["users_without_items"]) == (1, 1)
        assert report["density"] == 0.5
        assert (
            report["user_ids"] == "integers 0 to 7, with gaps"
            and report["item_ids"] == "integers 1 to 2, no gaps"
        )
        assert report["items_per_user"] == {"min": 0, "10%": 0, "median": 1, "90%": 2, "max": 2, "mean": 1.0}
        assert report["time_from"] is None
        assert report["digest"] == read_interactions(path).digest()

    def test_for_eyes(self, run, ratings):
        done = run("data", "describe", ratings)
        assert done.returncode == 0 and "items per user" in done.stdout and "text" in done.stdout

    def test_times_are_shown_as_dates(self, run, tmp_path):
        (tmp_path / "t.csv").write_text("user,item,timestamp\n1,2,874724710\n1,3,1700000000.5\n")
        (tmp_path / "n.csv").write_text("user,item,timestamp\n1,2,1\n1,3,7e15\n")
        said = run("data", "describe", tmp_path / "t.csv").stdout
        assert "1997-09-20 03:05:10 UTC" in said and "2023-11-14 22:13:20 UTC" in said
        assert (
            json.loads(run("data", "describe", tmp_path / "t.csv", "--json").stdout)["time_from"] == 874724710
        )
        said = run("data", "describe", tmp_path / "n.csv")
        assert said.returncode == 0 and "UTC" not in said.stdout

    def test_reader_options_and_standard_input(self, installed, ratings):
        packed = gzip.compress(ratings.read_bytes())
        report = answer(
            installed("data", "describe", "-", "--min-rating", "4", "--format", "csv", "--json", stdin=packed)
        )
        log = read_interactions(ratings, min_rating=4)
        assert report["interactions"] == log.n_interactions and report["below_min_rating"] == 72
        assert (report["time_from"], report["time_to"]) == (log.times.min(), log.times.max())
        swapped = answer(
            installed("data", "describe", ratings, "--user-col", "item", "--item-col", "0", "--json")
        )
        assert swapped["users"] == read_interactions(ratings).n_items

    def test_refusals(self, run, installed, tmp_path, ratings):
        assert "missing.txt: No such file or directory" in refusal(
            installed("data", "describe", tmp_path / "missing.txt")
        )
        empty, bad = tmp_path / "empty.txt", tmp_path / "bad.txt"
        empty.write_text("")
        bad.write_text("0 1\n1 2\n2 x\n")
        assert (
            refusal(run("data", "describe", empty))
            == f"Error: {empty} is empty: expected one interaction a line.\n"
        )
        message = refusal(installed("data", "describe", bad, "--json"))
        assert message.startswith(f"Error: {bad}, line 3: expected ") and message.count("\n") == 1
        assert "the columns there are user, item" in refusal(
            run("data", "describe", ratings, "--user-col", "gone")
        )
        assert "--min-rating" in refusal(run("data", "describe", bad, "--min-rating", "4"))
        assert "--nonsense" in refusal(installed("data", "describe", bad, "--nonsense"), code=2)


class TestConvert:
    def test_to_each_grammar_and_back(self, run, ratings, tmp_path):
        log = read_interactions(ratings)
        for name in ("a.tsv", "b.inter.gz", "c.csv"):
            report = answer(run("data", "convert", ratings, tmp_path / name, "--json"))
            assert report["files"][0]["interactions"] == log.n_interactions
            assert read_interactions(tmp_path / name).digest() == log.digest()

    def test_renumbered(self, installed, ratings, tmp_path):
        log = read_interactions(ratings)
        for name, first in (("a.npz", 0), ("a.mtx", 1), ("a.txt", 0)):
            report = answer(installed("data", "convert", ratings, tmp_path / name, "--renumber", "--json"))
            assert report["files"][0]["times_lost"]
            assert read_interactions(tmp_path / name).digest() == log.renumbered(first).digest()

    def test_says_what_is_lost(self, run, tmp_path):
        path, out = tmp_path / "a.txt", tmp_path / "a.csv"
        path.write_text("1 2\n3\n")
        done = run("data", "convert", path, out)
        assert done.returncode == 0 and f"{out}: csv cannot hold 1 users without items." in done.stderr

    def test_refusals(self, run, ratings, tmp_path):
        assert "choose one of adjacency" in refusal(
            run("data", "convert", ratings, tmp_path / "a.json"), code=2
        )
        assert "renumber" in refusal(run("data", "convert", ratings, tmp_path / "a.npz"))
        assert "No such folder" in refusal(run("data", "convert", ratings, tmp_path / "no" / "a.csv"))
        assert os.listdir(tmp_path) == [ratings.name]


class TestSplit:
    def test_parts_make_the_whole(self, run, ratings, tmp_path):
        log = read_interactions(ratings)
        options = ("--test", "0.3", "--validation", "0.2", "--seed", "4", "--json")
        files = answer(run("data", "split", ratings, "-o", tmp_path / "one", *options))["files"]
        assert [row["part"] for row in files] == ["train", "test", "validation"]
        assert [os.path.basename(row["file"]) for row in files] == ["train.csv", "test.csv", "validation.csv"]
        parts = [read_interactions(row["file"]).aligned_to(log)[0] for row in files]
        assert sum(part.n_interactions for part in parts) == log.n_interactions
        whole = parts[0].union(parts[1]).union(parts[2])
        assert whole.digest() == log.digest() and np.array_equal(whole.times, log.times)
        answer(run("data", "split", ratings, "-o", tmp_path / "two", *options))
        for row in files:
            with open(row["file"], "rb") as one, open(row["file"].replace("one", "two"), "rb") as two:
                assert one.read() == two.read()

    def test_by_last_and_by_time(self, installed, ratings, tmp_path):
        log = read_interactions(ratings)
        files = answer(
            installed("data", "split", ratings, "-o", tmp_path / "l", "--by", "last", "-n", "2", "--json")
        )["files"]
        assert files[1]["interactions"] == 2 * log.n_users
        answer(
            installed(
                "data",
                "split",
                ratings,
                "-o",
                tmp_path / "t",
                "--by",
                "time",
                "--test",
                "0.1",
                "--gz",
                "--json",
            )
        )
        train, test = (read_interactions(tmp_path / "t" / name) for name in ("train.csv.gz", "test.csv.gz"))
        assert train.times.max() < test.times.min()

    def test_plain_integers_stay_adjacency(self, run, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("1 2 3 4 5 6\n9 2\n4\n")
        files = answer(run("data", "split", path, "-o", tmp_path / "s", "--json"))["files"]
        assert [row["format"] for row in files] == ["adjacency", "adjacency"]
        train = read_interactions(tmp_path / "s" / "train.txt")
        assert train.user_ids.tolist() == [1, 4, 9] and train.n_interactions == 5

    def test_refusals(self, run, ratings, tmp_path):
        def split(*more, code=1):
            return refusal(run("data", "split", ratings, "-o", tmp_path / "s", *more), code)

        assert "between 0 and 1, found 2" in split("--test", "2", code=2)
        assert "--validation" in split("--validation", "1", code=2)
        assert "with --n" in split("--by", "last", "--test", "0.1", code=2)
        assert "with --test" in split("-n", "3", code=2)
        timeless = tmp_path / "a.txt"
        timeless.write_text("1 2 3\n")
        assert "needs a time" in refusal(run("data", "split", timeless, "-o", tmp_path / "s", "--by", "time"))
        assert not (tmp_path / "s").exists()
        assert "a.txt is a file" in refusal(run("data", "split", ratings, "-o", timeless))


def read_parts(files, log):
    """Part -> its interactions over the users and items of ``log``."""
    return {row["part"]: read_interactions(row["file"]).aligned_to(log)[0] for row in files}


class TestFolds:
    @pytest.mark.parametrize(
        ("count", "names"), [(3, ["fold1", "fold2", "fold3"]), (10, ["fold01", "fold02", "fold10"])]
    )
    def test_each_interaction_is_in_one_test_file(self, run, ratings, tmp_path, count, names):
        log = read_interactions(ratings)
        files = answer(
            run("data", "split", ratings, "-o", tmp_path / "s", "--by", "folds", "--folds", count, "--json")
        )["files"]
        found = [os.path.basename(row["file"]) for row in files]
        assert len(found) == 2 * count and sorted(found) == sorted(os.listdir(tmp_path / "s"))
        for name in names:
            assert {f"{name}-train.csv", f"{name}-test.csv"} <= set(found)
        parts = read_parts(files, log)
        tests = [part for name, part in parts.items() if name.endswith("test")]
        assert sum(part.n_interactions for part in tests) == log.n_interactions
        for name, part in parts.items():
            if name.endswith("train"):
                rest = parts[name.replace("train", "test")]
                whole = part.union(rest)
                assert part.shared_with(rest) == 0 and whole.digest() == log.digest()
                assert np.array_equal(whole.times, log.times)  # nothing is lost on the way

    def test_five_folds_are_made_unless_more_are_asked_for_and_the_seed_counts(self, run, ratings, tmp_path):
        for name, more in (("a", ()), ("b", ("--seed", "1")), ("c", ("--folds", "5"))):
            answer(run("data", "split", ratings, "-o", tmp_path / name, "--by", "folds", *more, "--json"))
        one, other, same = ((tmp_path / name / "fold1-test.csv").read_bytes() for name in "abc")
        assert len(os.listdir(tmp_path / "a")) == 10 and one == same != other

    def test_leave_one_out_writes_one_pair_or_as_many_as_asked_for(self, run, ratings, tmp_path):
        log = read_interactions(ratings)
        files = answer(
            run("data", "split", ratings, "-o", tmp_path / "a", "--by", "leave-one-out", "--json")
        )["files"]
        assert [os.path.basename(row["file"]) for row in files] == ["train.csv", "test.csv"]
        parts = read_parts(files, log)
        assert np.all(parts["test"].user_degrees == 1)
        assert parts["train"].union(parts["test"]).digest() == log.digest()
        files = answer(
            run(
                "data",
                "split",
                ratings,
                "-o",
                tmp_path / "b",
                "--by",
                "leave-one-out",
                "--folds",
                2,
                "--json",
            )
        )["files"]
        parts = read_parts(files, log)
        assert list(parts) == ["fold1-train", "fold1-test", "fold2-train", "fold2-test"]
        assert parts["fold1-test"].shared_with(parts["fold2-test"]) == 0

    def test_folds_by_last_go_back_in_time(self, run, ratings, tmp_path):
        log = read_interactions(ratings)
        files = answer(
            run("data", "split", ratings, "-o", tmp_path / "s", "--by", "last", "--folds", 2, "--json")
        )["files"]
        parts = read_parts(files, log)
        assert np.all(parts["fold2-test"].times <= parts["fold1-test"].times)
        assert parts["fold2-train"].n_interactions == log.n_interactions - 2 * log.n_users

    @pytest.mark.parametrize("more", [("--test", "0.25"), ("--folds", "4")])
    @pytest.mark.parametrize("to", ["csv", "adjacency"])
    def test_by_users_some_are_known_in_part_and_not_trained_on(self, run, ratings, tmp_path, more, to):
        log = read_interactions(ratings)
        options = ("--by", "users", *more, "--to", to, "--json")
        done = run("data", "split", ratings, "-o", tmp_path / "s", *options)
        files = json.loads(done.stdout)["files"]
        raw = {row["part"]: read_interactions(row["file"], format=to) for row in files}
        folds = ["fold1-", "fold2-", "fold3-", "fold4-"] if "--folds" in more else [""]
        assert list(raw) == [f"{fold}{name}" for fold in folds for name in ("train", "known", "test")]
        held_out = []
        for fold in folds:
            train, known, test = (raw[f"{fold}{name}"] for name in ("train", "known", "test"))
            others = set(known.user_ids.tolist())
            assert set(test.user_ids.tolist()) <= others and not others & set(train.user_ids.tolist())
            assert len(others) == 3 and known.n_interactions > 3 * test.n_interactions
            assert train.n_interactions + known.n_interactions + test.n_interactions == log.n_interactions
            held_out += sorted(others)
        assert len(set(held_out)) == len(held_out)

    def test_a_model_without_users_is_measured_on_those_held_out(self, run, tmp_path):
        log = Interactions.from_pairs(np.repeat(np.arange(30), 10), np.tile(np.arange(10), 30) % 7 * 2)
        formats.write_interactions(log, tmp_path / "a.csv")
        answer(
            run("data", "split", tmp_path / "a.csv", "-o", tmp_path, "--by", "users", "--to", "csv", "--json")
        )
        train = ("--model", "fism", "--dim", 4, "--density", 0.5, "--epochs", 0, "--validation", 0)
        done = run("train", tmp_path / "train.csv", "-o", tmp_path / "run", "--threads", 1, *train)
        assert done.returncode == 0, done.stderr
        said = run(
            "evaluate", tmp_path / "run", tmp_path / "test.csv", "--known", tmp_path / "known.csv", "--json"
        )
        assert json.loads(said.stdout)["users"] == 6 and json.loads(said.stdout)["unknown_users"] == 0

    def test_what_goes_ill_together_is_refused_in_a_sentence(self, run, ratings, tmp_path):
        def split(*more, code=2):
            said = refusal(run("data", "split", ratings, "-o", tmp_path / "s", *more), code)
            assert said.count("\n") == 1 or code == 2
            return said

        assert "--by random makes no folds" in split("--folds", "3")
        assert "--by folds makes 2 folds or more, found 1" in split("--by", "folds", "--folds", "1")
        assert "leave out --test" in split("--by", "folds", "--test", "0.1")
        assert "leave out --n" in split("--by", "leave-one-out", "-n", "1")
        assert "leave out --test" in split("--by", "users", "--folds", "3", "--test", "0.1")
        assert "leave out --n" in split("--by", "last", "--folds", "2", "-n", "1")
        assert "does not go with --by users" in split("--by", "users", "--validation", "0.1")
        assert "--folds" in split("--by", "folds", "--folds", "0")
        assert "between 0 and 1, found 2" in split("--by", "users", "--test", "2")
        assert "make fewer folds" in split("--by", "users", "--folds", "30", code=1)
        single = tmp_path / "single.csv"
        single.write_text("user,item\n1,2\n3,4\n")
        said = refusal(run("data", "split", single, "-o", tmp_path / "s", "--by", "users"))
        assert "one to be known by and one to be found" in said
        assert not (tmp_path / "s").exists()

    def test_nothing_is_written_where_one_file_cannot_be(self, run, tmp_path):
        path, folder = tmp_path / "a.csv", tmp_path / "s"
        path.write_text("user,item\na,1\na,2\na,3\nb,1\nb,2\nb c,3\nb c,4\n")
        said = refusal(run("data", "split", path, "-o", folder, "--by", "users", "--to", "adjacency"))
        assert "cannot be written as adjacency" in said and not folder.exists()
        folder.mkdir()
        (folder / "train.txt").write_text("mine")
        refusal(
            run("data", "split", path, "-o", folder, "--by", "folds", "--folds", "2", "--to", "adjacency")
        )
        assert os.listdir(folder) == ["train.txt"] and (folder / "train.txt").read_text() == "mine"


class TestOtherColumns:
    @pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
    def test_what_is_not_kept_is_named(self, run, tmp_path, name):
        path = tmp_path / name
        rows = [{"user": n % 4, "item": n, "genre": "x", "price": 3} for n in range(12)]
        lines = [",".join(rows[0])] + [",".join(map(str, row.values())) for row in rows]
        path.write_text("\n".join(lines if name == "a.csv" else map(json.dumps, rows)) + "\n")
        for words in (("convert", path, tmp_path / "b.csv"), ("split", path, "-o", tmp_path / "s")):
            done = run("data", *words)
            assert done.returncode == 0
            assert done.stderr.count("other columns are not kept: genre, price.") == 1
            told = json.loads(run("data", *words, "--json").stdout)["files"]
            assert all(row["columns_lost"] == ["genre", "price"] for row in told)

    def test_nor_what_is_in_a_column_without_a_name_or_was_not_wanted(self, run, tmp_path, ratings):
        path = tmp_path / "a.csv"
        path.write_text("\n".join(f"{n % 4},{n},{n % 5 + 1},{n + 1000},{n}" for n in range(12)) + "\n")
        assert (
            "other columns are not kept: column 4." in run("data", "convert", path, tmp_path / "b.csv").stderr
        )
        done = run("data", "convert", ratings, tmp_path / "b.csv", "--rating-col", "none")
        assert "other columns are not kept: rating." in done.stderr and "the ratings" not in done.stderr


class TestGenerate:
    def test_writes_what_was_asked_for(self, installed, tmp_path):
        sizes = ("--users", "50", "--items", "40", "--interactions", "400", "--groups", "4", "--seed", "9")
        report = answer(installed("data", "generate", tmp_path / "a.txt.gz", *sizes, "--json"))
        log = read_interactions(tmp_path / "a.txt.gz")
        assert report["files"][0]["interactions"] == log.n_interactions == 400 and log.n_users == 50
        answer(installed("data", "generate", tmp_path / "b.csv", *sizes, "--json"))
        assert read_interactions(tmp_path / "b.csv").digest() == log.digest()

    def test_refusals(self, run, tmp_path):
        assert "interactions, found 1" in refusal(
            run("data", "generate", tmp_path / "a.txt", "--interactions", "1"), code=2
        )
        assert os.listdir(tmp_path) == []


ORDERED = "0 3 1 2\n1 2 3 1\n2 1 3\n3 3 2 1\n"


def test_the_order_of_lines_is_told_kept_or_said_to_be_lost(run, tmp_path):
    path = tmp_path / "log.txt"
    path.write_text(ORDERED)
    assert answer(run("data", "describe", path, "--json"))["items_in_time_order"]
    assert not answer(run("data", "describe", path, "--line-order", "none", "--json"))["items_in_time_order"]
    done = run("data", "convert", path, tmp_path / "out.csv")
    assert done.returncode == 0 and "csv cannot hold the order of a user's items; adjacency" in done.stderr
    done = run("data", "convert", path, tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == ORDERED and not done.stderr
    assert "in which order" in refusal(run("data", "split", path, "-o", tmp_path / "time", "--by", "time"))
    assert run("data", "split", path, "-o", tmp_path / "last", "--by", "last").returncode == 0
    assert (tmp_path / "last" / "train.txt").read_text() == "0 3 1\n1 2 3\n2 1\n3 3 2\n"
    assert (tmp_path / "last" / "test.txt").read_text() == "0 2\n1 1\n2 3\n3 1\n"


def test_option_lists_name_what_the_library_knows():
    assert tuple(formats.FORMATS) == options.FORMATS and options.WRITABLE == formats.WRITABLE


def test_reader_options_collect_what_was_given():
    seen = []

    @click.command()
    @click.argument("name")
    @options.reader_options
    def command(name, reader):
        seen.append((name, reader))

    arguments = ["x", "--user-col", "who", "--min-rating", "3.5", "--format", "tsv"]
    assert CliRunner().invoke(command, arguments).exit_code == 0
    assert CliRunner().invoke(command, ["y"]).exit_code == 0
    assert seen == [("x", {"user_col": "who", "min_rating": 3.5, "format": "tsv"}), ("y", {})]
    known = set(inspect.signature(read_interactions).parameters)
    assert set(seen[0][1]) < known


def test_interactions_of_a_split_share_nothing(run, tmp_path):
    path = tmp_path / "a.csv"
    log = Interactions.from_pairs(np.repeat(np.arange(30), 10), np.tile(np.arange(10), 30))
    formats.write_interactions(log, path)
    files = answer(
        run("data", "split", path, "-o", tmp_path / "s", "--test", "0.5", "--to", "inter", "--json")
    )["files"]
    train, test = (read_interactions(row["file"]) for row in files)
    assert train.union(test.aligned_to(train)[0]).duplicates == 0
    assert test.n_interactions == 150


class TestMapped:
    def test_training_on_a_mapped_file_gives_the_same_bytes(self, run, tmp_path):
        text, mapped = tmp_path / "log.txt", tmp_path / "log.safetensors"
        assert (
            run("data", "generate", text, "--users", 80, "--items", 60, "--interactions", 900).returncode == 0
        )
        (made,) = answer(run("data", "convert", text, mapped, "--json"))["files"]
        assert (made["format"], made["interactions"], made["users_lost"]) == ("safetensors", 900, 0)
        said, same = (answer(run("data", "describe", path, "--json")) for path in (text, mapped))
        assert said["digest"] == same["digest"]
        for path in (text, mapped):
            done = run(
                "train", path, "-o", f"{path}.run", "--epochs", 1, "--learning-rate", 0.01, "--threads", 1
            )
            assert done.returncode == 0, done.stderr
        one, other = (tmp_path / f"{path.name}.run" / "model.safetensors" for path in (text, mapped))
        assert one.read_bytes() == other.read_bytes()

    def test_a_damaged_one_or_a_model_is_refused_with_a_sentence(self, run, tmp_path):
        mapped = tmp_path / "log.safetensors"
        assert (
            run("data", "generate", mapped, "--users", 50, "--items", 40, "--interactions", 500).returncode
            == 0
        )
        mapped.write_bytes(mapped.read_bytes()[:-8])
        said = refusal(run("train", mapped, "-o", tmp_path / "run"))
        assert said.count("\n") == 1 and "is no sound file of interactions: 'items': data_offsets" in said
        assert not (tmp_path / "run" / "model.safetensors").exists()
        assert "cannot be compressed" in refusal(
            run("data", "convert", mapped, tmp_path / "a.safetensors.gz"), 2
        )
