"""What commands say of the files they read, and the options for reading that they share."""

from __future__ import annotations

import importlib
import json

import pytest

from sparserec_np.data.formats import read_interactions
from tests.cli.test_data import answer, refusal
from tests.makers.small import small_log


@pytest.fixture
def clicks(tmp_path):
    """Sixty rows of twelve users, a third of them without a click; rated by a decimal comma."""
    path = tmp_path / "clicks.csv"
    rows = [f"u{n % 12};i{(n + n // 12) % 8};{n % 3},0;03/15/2016" for n in range(60)]
    path.write_text("user;item;click;date\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


QUICK = ("--epochs", "1", "--dim", "6", "--learning-rate", "0.01", "--start", "spectral", "--threads", "1")


class TestDescribe:
    def test_says_what_ratings_hold_and_how_they_count(self, run, clicks):
        report = answer(run("data", "describe", clicks, "--decimal", ",", "--json"))
        assert (report["rating_column"], report["rating_from"], report["rating_to"]) == ("click", 0, 2)
        assert (report["rated_0_or_less"], report["without_rating"]) == (20, 0)
        assert report["interactions"] < 60 and report["unreadable_time"] == "line 3: '03/15/2016'"
        shown = run("data", "describe", clicks, "--decimal", ",").stdout
        assert "20 (no interactions, unless --rating-col none or --min-rating says so)" in shown
        report = answer(run("data", "describe", clicks, "--json"))
        assert (report["without_rating"], report["unreadable_rating"]) == (60, "line 2: '0,0'")
        report = answer(run("data", "describe", clicks, "--rating-col", "none", "--json"))
        assert report["rating_column"] is None and report["rated_0_or_less"] == 0

    def test_bad_lines_are_counted_and_shown(self, run, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("1,10\n2\n3,\n" + "4,10\n" * 9 + "5\n6\n7\n8\n")
        done = run("data", "describe", path, "--on-bad-line", "skip", "--json")
        assert json.loads(done.stdout)["bad_lines"] == 6
        assert done.stderr.startswith(
            f"{path}: 6 bad lines left out; the first:\n  line 2: expected 2 fields"
        )
        assert done.stderr.count("\n") == 6
        assert "line 2" in refusal(run("data", "describe", path))
        assert "line 2" in refusal(run("data", "describe", path, "--on-bad-line", "error"))

    def test_a_core(self, run, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("1 10\n2 10 11 12\n3 11 12 13\n4 13 10 12\n")
        report = answer(run("data", "describe", path, "--min-user", "2", "--min-item", "2", "--json"))
        assert (report["users"], report["items"], report["interactions"]) == (3, 4, 9)
        assert report["digest"] == read_interactions(path, min_user=2, min_item=2).digest()
        assert "--min-user" in refusal(run("data", "describe", path, "--min-user", "99"))
        assert "--min-user" in refusal(run("data", "describe", path, "--min-user", "0"), 2)

    @pytest.mark.parametrize(
        ("options", "code"),
        [
            (("--quote", "x"), 2),
            (("--encoding", "klingon"), 2),
            (("--decimal", ";"), 2),
            (("--on-bad-line", "warn"), 2),
        ],
    )
    def test_wrong_values(self, run, clicks, options, code):
        assert options[1] in refusal(run("data", "describe", clicks, *options), code)

    def test_header_and_quotes(self, run, tmp_path):
        path = tmp_path / "es.csv"
        path.write_text('usuario,pelicula\nana,"matrix\nana,alien"\nbeto,alien\nbeto,heat\n')
        assert "--no-header" in refusal(run("data", "describe", path, "--quote", "none"))
        for option, rows in (("--header", 4), ("--no-header", 5)):
            report = answer(run("data", "describe", path, option, "--quote", "none", "--json"))
            assert report["interactions"] == rows


class TestConvertAndSplit:
    @pytest.mark.parametrize("out", ["a.csv", "a.inter", "a.txt", "a.safetensors"])
    def test_ratings_that_are_not_kept_are_named(self, run, tmp_path, out):
        path = tmp_path / "r.csv"
        path.write_text("user,item,rating\n1,10,3\n1,11,5\n2,10,4\n2,11,1\n")
        done = run("data", "convert", path, tmp_path / out)
        assert done.returncode == 0 and f"{tmp_path / out}: the ratings are not kept" in done.stderr
        assert answer(run("data", "convert", path, tmp_path / out, "--json"))["files"][0]["ratings_lost"]
        done = run("data", "split", path, "-o", tmp_path / "parts")
        assert done.stderr.count("the ratings are not kept") == 1
        path.write_text("user,item,click\n1,10,1\n1,11,1\n2,10,1\n")
        done = run("data", "convert", path, tmp_path / out)
        assert (done.returncode, done.stderr) == (0, "")

    def test_values_of_matrices_and_tables_too(self, run, tmp_path):
        head = "%%MatrixMarket matrix coordinate integer general\n2 2 2\n"
        for name, content in (
            ("a.mtx", head + "1 1 5\n2 2 3\n"),
            ("a.jsonl", '{"user": 1, "item": 1, "rating": 2}\n{"user": 2, "item": 2, "rating": 1}\n'),
        ):
            (tmp_path / name).write_text(content)
            done = run("data", "convert", tmp_path / name, tmp_path / "out.csv")
            assert done.returncode == 0 and "the ratings are not kept" in done.stderr
        (tmp_path / "a.mtx").write_text(head + "1 1 1\n2 2 1\n")
        assert run("data", "convert", tmp_path / "a.mtx", tmp_path / "out.csv").stderr == ""

    def test_times_that_cannot_be_read_are_named(self, run, clicks, tmp_path):
        done = run("data", "convert", clicks, tmp_path / "out.csv", "--rating-col", "none")
        assert (
            done.returncode == 0 and "the times are not kept, because of line 2: '03/15/2016'" in done.stderr
        )
        for way in ("last", "time"):
            said = refusal(
                run("data", "split", clicks, "-o", tmp_path / "parts", "--by", way, "--rating-col", "none")
            )
            assert "has times that cannot be read" in said and "found line 2: '03/15/2016'" in said

    def test_zeros_left_out_are_told(self, run, clicks, tmp_path):
        done = run("data", "convert", clicks, tmp_path / "out.csv", "--decimal", ",", "--json")
        assert f"{clicks}: 20 of 60 rows have click 0 or less and are no interactions" in done.stderr

    @pytest.mark.parametrize(("users", "kind"), [(6, "csv"), (25, "adjacency")])
    def test_parts_of_few_users_can_be_read(self, run, tmp_path, users, kind):
        path = tmp_path / "a.txt"  # each has three items, of which two stay for training
        path.write_text("0 1\n" + "".join(f"{n} {n + 1} {n + 3} {n + 5}\n" for n in range(users)))
        files = answer(
            run("data", "split", path, "-o", tmp_path / "p", "--by", "random", "--test", "0.34", "--json")
        )
        assert [row["format"] for row in files["files"]] == [kind, kind]
        for row in files["files"]:
            assert read_interactions(row["file"]).n_interactions == row["interactions"]

    def test_a_core_is_split(self, run, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("".join(f"{n % 7},{n % 5}\n" for n in range(35)) + "99,1\n")
        files = answer(run("data", "split", path, "-o", tmp_path / "p", "--min-user", "2", "--json"))["files"]
        assert sum(row["interactions"] for row in files) == 35


class TestTrain:
    def test_reads_what_it_needs_and_keeps_how(self, run, clicks, tmp_path):
        options = ("--decimal", ",", "--min-user", "3", "--min-item", "3", "--header", "--validation", "0.2")
        done = run("train", clicks, "-o", tmp_path / "run", *QUICK, *options)
        assert done.returncode == 0, done.stderr
        assert "20 of 60 rows have click 0 or less" in done.stderr
        log = read_interactions(clicks, decimal=",", min_user=3, min_item=3)
        assert (
            f"{log.n_users:,} users, {log.n_items:,} items, {log.n_interactions:,} interactions"
            in done.stdout
        )
        reader = json.loads((tmp_path / "run" / "config.json").read_text())["data"]["reader"]
        assert reader == {"decimal": ",", "min_user": 3, "min_item": 3, "header": True}
        again = run("train", "-o", tmp_path / "again", "--config", tmp_path / "run" / "config.json")
        assert again.returncode == 0, again.stderr
        one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "again"))
        assert one == other

    def test_a_validation_file_has_no_core(self, run, clicks, tmp_path):
        held = tmp_path / "held.csv"
        held.write_text("user;item\nu1;i5\nu2;i0\n")
        options = ("--decimal", ",", "--min-user", "3", "--validation", held)
        done = run("train", clicks, "-o", tmp_path / "run", *QUICK, *options)
        assert done.returncode == 0, done.stderr
        assert run("evaluate", tmp_path / "run", held, "--time-col", "none").returncode == 0

    @pytest.mark.parametrize("words", [False, True])
    def test_the_same_model_comes_of_every_format(self, run, tmp_path, words):
        pa = pytest.importorskip("pyarrow")
        feather, parquet = (importlib.import_module(f"pyarrow.{name}") for name in ("feather", "parquet"))
        log = small_log()
        users, items = log.pair_users().tolist(), log.items.tolist()
        if words:
            users, items = [f"u{user}" for user in users], [f"ï{item}" for item in items]
        rows = [{"user_id": user, "item_id": item} for user, item in zip(users, items, strict=True)]
        lines = "".join(f"{row['user_id']},{row['item_id']}\n" for row in rows)
        (tmp_path / "a.csv").write_text("user_id,item_id\n" + lines, encoding="utf-8")
        (tmp_path / "b.csv").write_bytes(("user_id,item_id\n" + lines).replace("\n", "\r").encode("utf-16"))
        (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        table = pa.table({"user_id": users, "item_id": items})
        parquet.write_table(table, tmp_path / "d.parquet")
        feather.write_feather(table, tmp_path / "e.feather")
        models = []
        for path in sorted(tmp_path.iterdir()):
            done = run("train", path, "-o", f"{path}.run", *QUICK)
            assert done.returncode == 0 and done.stderr == "", done.stderr
            models.append((tmp_path / f"{path.name}.run" / "model.safetensors").read_bytes())
        assert len(models) == 5 and len(set(models)) == 1

    def test_a_doubtful_file_is_refused_before_a_run_is_made(self, run, tmp_path):
        (tmp_path / "tri.txt").write_text(
            "".join(f"{n % 30} {n % 11 + 100} {n % 5 + 1}\n" for n in range(400))
        )
        said = refusal(run("train", tmp_path / "tri.txt", "-o", tmp_path / "run", *QUICK))
        assert "--format csv" in said and "--format adjacency" in said and not (tmp_path / "run").exists()
        done = run("train", tmp_path / "tri.txt", "-o", tmp_path / "run", *QUICK, "--format", "csv")
        assert "30 users, 11 items" in done.stdout
