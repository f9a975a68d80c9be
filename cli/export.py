"""``sparserec export``: one small file for a device, C source or a page; what it weighs and lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import click
import numpy as np

from sparserec_np.errors import DataError
from sparserec_np.runtime import Array, Artifact, Ids, count_bytes
from sparserec_np.serving.c.export import write_c
from sparserec_np.serving.loss import K, can_compare, compare_lists, compare_metrics
from sparserec_np.serving.model_file import ServedModel, load_model
from sparserec_np.serving.onnx_export import write_onnx
from sparserec_np.serving.packing import VALUES, count_tables, pack, write_export
from sparserec_np.serving.slices import keep_items, keep_users, without_seen
from sparserec_np.serving.vectors import write_vectors
from sparserec_np.serving.web.site import Page, write_site
from sparserec_np.serving.web.titles import read_titles

from .names import known
from .options import json_option, reader_options
from .output import counted, emit_json, table
from .reading import read_log
from .run_argument import reading_run, run_argument


@click.command()
@run_argument
@click.option(
    "-o", "--output", required=True, metavar="PATH", help="The file to write; with --to c, the directory."
)
@click.option(
    "--to",
    "to",
    type=click.Choice(("file", "c", "web", "onnx", "vectors")),
    default="file",
    show_default=True,
    help="A model file; C source: a header, a program and its Makefile; a page for browsers; an ONNX graph; or vectors"
    " of the items as npz.",
)
@click.option(
    "--dtype",
    type=click.Choice(tuple(VALUES)),
    help="Type of the values; of a file or page by default int8, which has a scale for each dimension. In C float32,"
    " or of a model without users int8.",
)
@click.option("--one-file", is_flag=True, help="With --to web: a single HTML file, which needs no server.")
@click.option(
    "--titles",
    "titles_file",
    metavar="FILE",
    help="With --to web: lines of an item, its title and, if wanted, the address of a picture.",
)
@click.option(
    "--federated",
    metavar="URL",
    help="With --to web: the page takes part in the training of `federate --serve` at URL, if the person says yes.",
)
@click.option(
    "--drop",
    type=click.Choice(("users", "seen")),
    multiple=True,
    help="Leave out all users (people are folded in from their items), or what users had in training.",
)
@click.option(
    "--users", "users_file", metavar="FILE", help="Keep only these users: a file of ids, one a line."
)
@click.option("--items", "items_file", metavar="FILE", help="Keep only these items.")
@click.option(
    "--test", "test_file", metavar="FILE", help="Measure Recall@20 and NDCG@20 before and after on this file."
)
@reader_options
@json_option
def command(as_json: bool, **options: Any) -> None:
    """Export the model in RUN, and measure what that cost.

    RUN is a run directory or the model file in it. Bytes are those of the file before and after.
    What is lost is measured over the users and items that are kept, in lists of 20: on the file of
    --test if one is given, else as the part of each list that stays, over a sample of users. With
    --drop users every list is made by folding the user in from the items they had in training.

    With --to c nothing is lost: the values stay in float32, and the lists are those of the model,
    to the last bit. Of a model without users the source may be had in int8, too: its lists are
    those of an int8 file.

    With --to web, -o is the folder of a page that recommends in the browser of who opens it, and
    sends nothing anywhere. Nothing of users is in it: people are folded in from what they pick.
    Look at it with `sparserec serve`.

    With --to onnx, which takes the extra [onnx], the graph scores all items for a list of items, or
    of mf for a user; onnxruntime checks it. With --to vectors, an npz file holds dense rows for an
    index of nearest neighbours.
    """
    order = Order(**options)
    order.check()
    with reading_run(order.run):
        model = load_model(order.run)
    plain = model.encode()
    before = count_bytes(plain.arrays) | {"tables": count_tables(plain)}
    columns = model.dim - int(model.metadata.get("item_columns", 0))
    dense_bytes = 4 * columns * sum(one.rows for one in model.tables.values())
    model = _with_chosen_rows(model, order)
    if order.to in FORMS:
        FORMS[order.to](order, model, as_json)
        return
    dtype = order.dtype or "int8"
    artifact = pack(_without(model, order.drop), dtype)
    loss = _loss(model, artifact, order)
    file_bytes = write_export(order.output, artifact)
    after = count_bytes(artifact.arrays) | {"tables": count_tables(artifact)}
    report = {
        "file": order.output,
        "dtype": dtype,
        "users": int(artifact.metadata["n_users"]),
        "items": int(artifact.metadata["n_items"]),
        "file_bytes": file_bytes,
        "bytes_before": before,
        "bytes_after": after,
        "dense_bytes": dense_bytes,
        "tables_of_dense": after["tables"] / dense_bytes,
        **loss,
    }
    if as_json:
        emit_json(report)
    else:
        _print_report(report, loss)


@dataclass(frozen=True)
class Order:
    """The options of one call, under their names."""

    run: str
    output: str
    to: str
    dtype: str | None
    drop: tuple[str, ...]
    users_file: str | None
    items_file: str | None
    test_file: str | None
    one_file: bool
    titles_file: str | None
    federated: str | None
    reader: dict[str, Any]

    def check(self) -> None:
        """Refuses options that would do nothing. Raises UsageError."""
        if self.to == "c" and self.test_file is not None:
            self._refuse_in_c("--test")
        if self.to == "web" and self.test_file is not None:
            raise click.UsageError("--test is of no use with --to web; measure a file of the same --dtype.")
        if self.to in ("onnx", "vectors"):
            for flag, given in (("--test", self.test_file), ("--dtype", self.dtype)):
                if given is not None:
                    raise click.UsageError(
                        f"{flag} is of no use with --to {self.to}, which keeps float32; leave it out."
                    )
        for flag, is_given in (
            ("--one-file", self.one_file),
            ("--titles", self.titles_file is not None),
            ("--federated", self.federated is not None),
        ):
            if is_given and self.to != "web":
                raise click.UsageError(f"{flag} is for pages: it goes with --to web.")
        if self.one_file and self.federated is not None:
            raise click.UsageError(
                "--federated needs a page with an address, which a server can name: leave out --one-file."
            )

    def check_c(self, model: ServedModel) -> None:
        """Refuses a type of values where C source of ``model`` has but one. Raises UsageError."""
        if model.stores_users and self.dtype is not None:
            self._refuse_in_c("--dtype")

    def _refuse_in_c(self, flag: str) -> NoReturn:
        raise click.UsageError(
            f"{flag} is of no use with --to c, which keeps float32 and loses nothing; leave it out."
        )


def _report_c(order: Order, model: ServedModel, as_json: bool) -> None:
    """Writes the model as C source, and prints what it will take."""
    order.check_c(model)
    model = _without(model, order.drop)
    folder = order.output
    sizes = write_c(model, folder, order.dtype or "float32")
    if as_json:
        emit_json({"folder": folder, "users": model.users.rows, "items": model.items.rows, "bytes": sizes})
        return
    click.echo(table([[name, size] for name, size in sizes.items()], ["bytes", "size"]))
    what = "USER" if model.stores_users or model.users.rows else "N ITEM..."
    click.echo(f"Written to {folder}. Next: make -C {folder} && {os.path.join(folder, 'recommend')} {what}")


def _report_web(order: Order, model: ServedModel, as_json: bool) -> None:
    """Writes the model as a page, and prints what it weighs."""
    path = order.output
    titles = (
        {} if order.titles_file is None else read_titles(order.titles_file, Ids.from_array(model.item_ids))
    )
    page = Page(one_file=order.one_file, training=order.federated)
    sizes = write_site(model, path, order.dtype or "int8", titles, page)
    total = sum(sizes.values())
    if as_json:
        emit_json(
            {
                "site": path,
                "items": model.items.rows,
                "titles": len(titles),
                "bytes": {**sizes, "total": total},
            }
        )
        return
    click.echo(table([[name, size] for name, size in sizes.items()] + [["total", total]], ["bytes", "size"]))
    then = "open it in a browser" if order.one_file else f"sparserec serve {path}"
    click.echo(f"Written to {path}. Next: {then}")


def _report_onnx(order: Order, model: ServedModel, as_json: bool) -> None:
    """Writes the model as an ONNX graph, and prints how near its scores are."""
    try:
        report = write_onnx(_without(model, order.drop), order.output)
    except ImportError as error:
        raise DataError(str(error)) from error
    if as_json:
        emit_json({"file": order.output, "items": model.items.rows, **report})
        return
    click.echo(f"Scores of {counted(report['compared'], 'user')} differ by at most {report['difference']:g}.")
    click.echo(f"Written to {order.output}: {report['bytes']:,} B.")


def _report_vectors(order: Order, model: ServedModel, as_json: bool) -> None:
    """Writes the rows of items for an index, and prints how many there are."""
    report = write_vectors(_without(model, order.drop), order.output)
    if as_json:
        emit_json({"file": order.output, **report})
        return
    users = f" and {counted(report['users'], 'user')}" if report["users"] else ""
    click.echo(
        f"Written to {order.output}: {counted(report['items'], 'item')}{users}, {report['columns']:,} columns."
    )


# What --to names beside a model file -> what writes it.
FORMS: dict[str, Callable[[Order, ServedModel, bool], None]] = {
    "c": _report_c,
    "web": _report_web,
    "onnx": _report_onnx,
    "vectors": _report_vectors,
}


def _with_chosen_rows(model: ServedModel, order: Order) -> ServedModel:
    """Leaves out the users and items that the files of ids do not name."""
    if order.users_file is not None:
        model = keep_users(model, _read_rows(order.users_file, model.user_ids, "user"))
    if order.items_file is not None:
        model = keep_items(model, _read_rows(order.items_file, model.item_ids, "item"))
    return model


def _without(model: ServedModel, drop: tuple[str, ...]) -> ServedModel:
    """Leaves out all users, or what users have seen, as --drop says."""
    if "users" in drop:
        model = keep_users(model, np.zeros(0, dtype=np.intp))
    return without_seen(model) if "seen" in drop else model


def _read_rows(path: str, ids: Array, noun: str) -> Array:
    """Reads ids from a file and looks up their rows: (m,) ascending.

    Raises DataError for an id that the model does not know, and for a file without ids.
    """
    try:
        with open(path, encoding="utf-8") as file:
            wanted = [line.strip() for line in file if line.strip()]
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text in UTF-8; expected one id a line") from None
    if not wanted:
        raise DataError(f"{path} holds no ids; expected one {noun} id a line")
    lookup = Ids.from_array(ids)
    rows = [lookup.find(known(lookup, one, noun)) for one in wanted]
    return np.unique(np.array(rows, dtype=np.intp))


def _loss(model: ServedModel, artifact: Artifact, order: Order) -> dict[str, Any]:
    """Measures what is lost from ``model`` to the file, as far as that can be known."""
    if order.test_file is not None and not model.has_seen:
        raise DataError(
            "The model does not hold the items that users have seen: export from the run it came from"
        )
    if not can_compare(model):
        return {}
    if order.test_file is None:
        return compare_lists(model, artifact)
    test, _ = read_log(order.test_file, order.reader).aligned_to(model.seen)
    if not test.n_interactions:
        raise DataError(f"No interaction in {order.test_file} is between a user and an item that are kept.")
    return compare_metrics(model, artifact, test)


def _print_report(report: dict[str, Any], loss: dict[str, Any]) -> None:
    """Prints bytes before and after, what was lost, and where the file is."""
    before, after = report["bytes_before"], report["bytes_after"]
    weights = ["weights"] * (before["weights"] > 0)  # most models are their tables alone
    purposes = ("values", "columns", "indptr", "tables", "ids", *weights, "seen")
    rows = [[name, before[name], after[name]] for name in purposes]
    click.echo(table(rows, ["bytes", "before", "after"]))
    part, dense_bytes = report["tables_of_dense"], report["dense_bytes"]
    click.echo(f"\nThe tables take {part:.1%} of a full float32 table's {dense_bytes:,} B.")
    for line in _said(loss):
        click.echo(line)
    click.echo(f"Written to {report['file']}: {report['file_bytes']:,} B.")


def _said(loss: dict[str, Any]) -> list[str]:
    """Says what was lost, in sentences."""
    if "lost" in loss:
        return [
            f"{name} over {counted(loss['measured_users'], 'user')}: {loss['metrics_before'][name]:.4f} before,"
            f" {loss['metrics_after'][name]:.4f} after; lost {part:.2%}."
            for name, part in loss["lost"].items()
        ]
    if f"overlap@{K}" in loss:
        kept = loss[f"overlap@{K}"]
        return [f"Of the lists of {K} of {counted(loss['measured_users'], 'user')}, {kept:.2%} stays."]
    return ["What it cost in the lists is unknown: the model holds no users, or not what they have seen."]
