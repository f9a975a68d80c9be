"""``sparserec recommend``: the best items for users of a model, and for people it does not know."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import click
import numpy as np

from sparserec_np.errors import DataError
from sparserec_np.evaluation.lists import (
    EVERYBODY,
    Part,
    as_line,
    lines_of,
    rank_everybody,
    recommend_to_everybody,
    with_strangers,
)
from sparserec_np.machine.cluster import connected
from sparserec_np.machine.files import replacing
from sparserec_np.runtime import Recommendation, Recommender, SeenItemsMissingError
from sparserec_np.serving.model_file import ServedModel, load_model

from .names import known, shown, split_ids
from .output import counted, emit_json, table
from .run_argument import reading_run, run_argument

USERS_A_TASK = 1000  # of a worker: seconds of work, which a lost worker loses
REQUEST = ("user", "items", "n", "exclude", "among", "filter_seen")


@click.command()
@run_argument
@click.argument("requests", metavar="[-]", required=False)
@click.option("--user", "users", metavar="ID", multiple=True, help="A user of the model; may be repeated.")
@click.option(
    "--items",
    "liked",
    metavar="ID,ID,...",
    multiple=True,
    help="Items of somebody the model has never seen: a row is made from them.",
)
@click.option("--exclude", metavar="ID,ID,...", multiple=True, help="Items to leave out.")
@click.option("--include-seen", is_flag=True, help="Do not leave out the items that a user had in training.")
@click.option("--all-users", is_flag=True, help="Every user of the model, as JSON lines into the file of -o.")
@click.option(
    "--part",
    "part",
    metavar="K/N",
    help="With --all-users: the K-th of N parts of the users, which joined in their order are the whole file.",
)
@click.option(
    "--backend",
    type=click.Choice(("dask",)),
    help="With --all-users: the workers of a Dask scheduler, which need RUN, NumPy and no compiler.",
)
@click.option("--scheduler", metavar="ADDRESS", help="With --backend dask: where the scheduler listens.")
@click.option(
    "-o", "--output", metavar="FILE", help="With --all-users: the file to write; - is standard output."
)
@click.option(
    "-n", "n", type=click.IntRange(min=1), default=20, show_default=True, help="Items for each user."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, one line a user.")
def command(run: str, n: int, as_json: bool, **options: Any) -> None:
    """Recommend items to users of the model in RUN, or to somebody who touched the items given.

    RUN is a run directory or the model file in it. Ids are those of the training file. Items that a
    user had in training are left out; where fewer than -n are left, the list is shorter. Equal
    scores come in the order of the items. A user without interactions gets what most users touched,
    with the score 0, and a sentence on stderr says so.

    With - after RUN, requests are read from standard input, a JSON object a line, and each is
    answered at once by one line on standard output: {"user": 42} or {"items": [7, 11]}, with "n",
    "exclude", "among" (rank these items only) and "filter_seen" if wanted. A request that cannot be
    answered gets {"error": ...}, and the exit code is 1.
    """
    wishes = Wishes(**options)
    wishes.check()
    if wishes.all_users:
        _rank_everybody(run, n, wishes)
        return
    with reading_run(run):
        recommender = Recommender.open(run)
    common: dict[str, Any] = {
        "n": n,
        "exclude": split_ids(wishes.exclude) if wishes.exclude else None,
        "filter_seen": not wishes.include_seen,
    }
    if wishes.requests:
        _serve(recommender, sys.stdin.buffer, common)
        return
    wanted: list[dict[str, Any]] = [{"user": user} for user in wishes.users]
    if wishes.liked:
        wanted.append({"items": split_ids(wishes.liked)})
    # Every list is made before the first is printed: an unknown user leaves no half of an answer
    # behind.
    answers = [_answer(recommender, {**common, **one}) for one in wanted]
    if as_json:
        for answer in answers:
            emit_json(answer.told)
    else:
        _print_lists([answer.told for answer in answers], n)
    for answer in answers:
        if not answer.personal:
            click.echo(f"User {_whom(answer.told)} {_popular_instead(recommender)}", err=True)


@dataclass(frozen=True)
class Wishes:
    """The options of one call that say whose lists are wanted, and where they go."""

    requests: str | None
    users: tuple[str, ...]
    liked: tuple[str, ...]
    exclude: tuple[str, ...]
    include_seen: bool
    all_users: bool
    part: str | None
    backend: str | None
    scheduler: str | None
    output: str | None

    @property
    def whose(self) -> Part:
        """The part of all users whose lists are wanted.

        Raises:
            click.UsageError: it is no part.
        """
        if self.part is None:
            return EVERYBODY
        number, _, of = self.part.partition("/")
        good = number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)
        if not good:
            raise click.UsageError(
                f"--part takes K/N, the K-th of N parts, such as 1/4; found {self.part!r}."
            )
        return Part(int(number), int(of))

    def check(self) -> None:
        """Refuses options that do not say, in one way, whose lists are wanted."""
        if self.requests not in (None, "-"):
            raise click.UsageError(
                f"After RUN only - is expected, found {self.requests!r}; users are given by --user."
            )
        ways = [bool(self.users or self.liked), self.all_users, self.requests is not None]
        if sum(ways) != 1:
            raise click.UsageError(
                "Give one of: --user or --items, - for requests on standard input, --all-users."
            )
        if self.liked and not split_ids(self.liked):
            raise click.UsageError("--items needs one id or more.")
        if self.all_users != (self.output is not None):
            raise click.UsageError("--all-users and -o go together.")
        if self.part is not None and not self.all_users:
            raise click.UsageError("--part goes with --all-users.")
        if (self.backend is None) != (self.scheduler is None):
            raise click.UsageError("--backend dask and --scheduler go together.")
        if self.backend is not None and (not self.all_users or self.part is not None):
            raise click.UsageError("--backend dask goes with --all-users, and makes the parts itself.")
        _ = self.whose


class Answer(NamedTuple):
    """An answer: what is told of it, ready for JSON, and whether the list was made for somebody."""

    told: dict[str, Any]
    personal: bool


def _print_lists(answers: Sequence[dict[str, Any]], n: int) -> None:
    """Prints lists as one table, and on stderr which of them are shorter than ``n``."""
    rows = [
        [_whom(answer), rank, shown(item), score]
        for answer in answers
        for rank, (item, score) in enumerate(zip(answer["items"], answer["scores"], strict=True), 1)
    ]
    if rows:
        click.echo(table(rows, ["user", "rank", "item", "score"]))
    for answer in answers:
        count = len(answer["items"])
        if count < n:
            whom = f"User {_whom(answer)}" if "user" in answer else "These items"
            click.echo(f"{whom}: only {count:,} of the {n:,} items asked for are left.", err=True)


def _popular_instead(recommender: Recommender, has: str = "has") -> str:
    """Says what somebody, or several who "have", got for want of interactions: the end of a sentence."""
    if recommender.popularity_known:
        return f"{has} no interactions: these are the items that most users touched, all with the score 0."
    return (
        f"{has} no interactions, and the model file does not say what most users touched: these are the items in their"
        " own order, all with the score 0."
    )


def _answer(recommender: Recommender, request: dict[str, Any]) -> Answer:
    """Answers a request: the ids asked about, in the file's own type, items and scores.

    Raises DataError for an id that is unknown.
    """

    def items_of(name: str) -> list[int | str] | None:
        ids = request.get(name)
        return None if ids is None else [known(recommender.item_ids, item, "item") for item in ids]

    rest = {name: request[name] for name in ("n", "exclude", "filter_seen")}
    rest["items"] = items_of("among")
    try:
        if "user" in request:
            user = known(recommender.user_ids, request["user"], "user")
            found = recommender.recommend(user, **rest)
            return Answer({"user": user, **found._asdict()}, found.personal)
        liked = items_of("items") or []
        found = recommender.recommend_for_items(liked, **rest)
        return Answer({"for_items": liked, **found._asdict()}, found.personal)
    except SeenItemsMissingError as error:
        raise DataError(
            "The model file was exported without the items that users have seen: give them to --exclude, or say"
            " --include-seen (in a request: exclude, filter_seen)"
        ) from error


def _whom(answer: dict[str, Any]) -> str:
    return shown(answer["user"]) if "user" in answer else "(items)"


def _serve(recommender: Recommender, lines: Iterable[bytes], common: dict[str, Any]) -> None:
    """Answers requests line by line, each before the next is read."""
    failed = total = 0
    said = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        total += 1
        try:
            answer = _answer(recommender, {**common, **_parse(line)})
            emit_json(answer.told)
            if not (answer.personal or said):  # once, however many there are
                said = True
                click.echo(f"User {_whom(answer.told)} {_popular_instead(recommender)}", err=True)
        except DataError as error:
            failed += 1
            emit_json({"error": str(error), "line": number})
        sys.stdout.flush()
    if failed:
        raise DataError(f"{failed:,} of {counted(total, 'request')} could not be answered; see their lines")


def _parse(line: bytes) -> dict[str, Any]:
    """Reads a request from its line. Raises DataError for what is none."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError("the line is not JSON") from None
    if not isinstance(request, dict) or ("user" in request) == ("items" in request):
        raise DataError('expected a JSON object with either "user" or "items"')
    unknown = [name for name in request if name not in REQUEST]
    if unknown:
        raise DataError(f"{unknown[0]!r} is nothing that a request can hold; there are: {', '.join(REQUEST)}")
    for name in ("items", "exclude", "among"):
        ids = request.get(name, [])
        if not (isinstance(ids, list) and all(type(one) in (int, str) for one in ids)):
            raise DataError(f"{name} must be a list of ids, found {json.dumps(ids)[:40]}")
    if type(request.get("user", "")) not in (int, str) or request.get("items") == []:
        raise DataError("user must be an id, and items one id or more")
    if type(request.get("n", 1)) is not int or request.get("n", 1) < 1:
        raise DataError(f"n must be a whole number of 1 or more, found {json.dumps(request['n'])[:40]}")
    if type(request.get("filter_seen", True)) is not bool:
        raise DataError("filter_seen must be true or false")
    return request


def _rank_everybody(run: str, n: int, wishes: Wishes) -> None:
    """Writes the lists of all users, or of a part, as JSON lines, to a file whole or not at all."""
    output, filter_seen = wishes.output or "-", not wishes.include_seen
    if wishes.scheduler is not None:
        with connected(wishes.scheduler) as client:
            lines, strangers = _lines_of_workers(client, run, n, filter_seen)
            _write_lines(output, lines)
    else:
        lists, strangers = _everybodys_lists(run, n, filter_seen, wishes.whose)
        _write_lines(output, (as_line(user, found) for user, found in lists))
    if strangers:
        click.echo(strangers, err=True)


def _write_lines(output: str, lines: Iterable[bytes]) -> None:
    """Writes lines, which come one or several at a time, to a file whole or not at all."""
    if output == "-":
        sys.stdout.buffer.writelines(lines)
        return
    count = 0
    with replacing(output) as file:
        for some in lines:
            count += some.count(b"\n")
            file.write(some)
    click.echo(f"Written to {output}: {counted(count, 'user')}.", err=True)


def _lines_of_workers(client: Any, run: str, n: int, filter_seen: bool) -> tuple[Iterator[bytes], str]:
    """Has workers rank parts of the users, and yields their lines in order; a worker may be lost.

    Also says of users without interactions what they got; nothing where there are none.
    """
    model = _with_everybody(run, filter_seen)
    said, _ = _of_strangers(run, model, EVERYBODY)
    number = -(-len(model.user_ids) // USERS_A_TASK)
    parts = [Part(one, number) for one in range(1, number + 1)]
    common = ([value] * number for value in (os.path.abspath(run), n, filter_seen))
    futures = client.map(lines_of, *common, parts, retries=3)
    return (future.result() for future in futures), said


def _everybodys_lists(
    run: str, n: int, filter_seen: bool, part: Part
) -> tuple[Iterator[tuple[int | str, Recommendation]], str]:
    """Ranks with the compiled kernels or, without Numba, with the runtime: the same lists.

    Also says of users without interactions what they got; nothing where there are none.
    """
    model = _with_everybody(run, filter_seen)
    said, recommender = _of_strangers(run, model, part)
    try:
        import numba  # noqa: F401
    except ImportError:
        with reading_run(run):
            return recommend_to_everybody(recommender or Recommender.open(run), n, filter_seen, part), said

    # Here, as what trains is not loaded to make one list.
    from sparserec_np.training.saving import restore

    left_out = model.seen if filter_seen else model.seen.subset(np.zeros(len(model.seen_items), dtype=bool))
    lists = rank_everybody(restore(model).ranker(), left_out, n, part)
    return with_strangers(lists, recommender, n, filter_seen) if recommender else lists, said


def _with_everybody(run: str, filter_seen: bool) -> ServedModel:
    """Reads a model that can rank for everybody. Raises DataError where it cannot."""
    with reading_run(run):
        model = load_model(run)
    if not model.users.rows:
        raise DataError(f"{run} holds no users: give --items instead")
    if filter_seen and not model.has_seen:
        raise DataError(f"{run} does not hold the items that users have seen; say --include-seen")
    return model


def _of_strangers(run: str, model: ServedModel, part: Part) -> tuple[str, Recommender | None]:
    """Says how many users have no interactions, and opens what makes their lists, if there are any."""
    wanted = part.rows(len(model.user_ids))
    if np.all(np.diff(model.seen_indptr) > 0):
        return "", None
    with reading_run(run):
        recommender = Recommender.open(run)
    number = sum(row in wanted for row in np.asarray(recommender.strangers()).tolist())
    if not number:
        return "", None
    has = "has" if number == 1 else "have"
    return f"{counted(number, 'user')} {_popular_instead(recommender, has)}", recommender
