"""The model as an ONNX graph: from what somebody touched to the scores of all items.

Tables stay sparse: the graph holds the entries, as they are stored, and adds their products up
where they belong. Sums are in the order of ``runtime.py``, so that a runtime that scatters in order
gives the same bits. Rows that are solved for have no such graph, and are refused.

The inputs of a model that makes its users of what they touched are ``items`` (k,), int64 item rows,
and ``shares`` (k,), float32, how much each counts: 1, or what ``runtime.recency_levels`` says. That
of a model that stores users is ``user`` (1,), an int64 user row. The output is ``scores``
(n_items,), float32; what was touched is among them. The ids of the rows are in the metadata, as
JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.machine.files import replacing
from sparserec_np.runtime import (
    ArtifactError,
    Path,
    Recommender,
    item_columns,
    mark_factors,
    recency_levels,
    served_as,
)
from sparserec_np.serving.model_file import ServedModel

OPSET = 18
COMPARED = 16  # users whose scores are compared


class Graph:
    """The nodes and constants of a graph while it is made; a method adds a node, and returns its output's name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, array: Array) -> str:
        """Adds an array."""
        self.constants.append(_onnx().numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, kind: str, *inputs: str, **settings: Any) -> str:
        """Adds a node of one output."""
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(_onnx().helper.make_node(kind, list(inputs), [name], **settings))
        return name

    def scatter(self, size: str, places: str, numbers: str) -> str:
        """Adds numbers up in their places, of which there are as many as the constant ``size`` has zeros."""
        return self.add("ScatterElements", size, places, numbers, axis=0, reduction="add")

    def table(self, name: str, table: SparseTable) -> tuple[str, str, str]:
        """Adds a table: the rows of its entries, their columns and their values."""
        rows = np.repeat(np.arange(table.rows), np.diff(table.indptr))
        # The narrow types are those of the file; indices have to be int64 where they are used.
        narrow: list[tuple[str, Array]] = [
            (f"{name}_rows", rows.astype(np.int32)),
            (f"{name}_columns", table.columns.astype(np.uint16)),
        ]
        places = [self.add("Cast", self.constant(*one), to=_onnx().TensorProto.INT64) for one in narrow]
        return places[0], places[1], self.constant(f"{name}_values", table.values.astype(np.float32))


def write_onnx(model: ServedModel, path: Path) -> dict[str, Any]:
    """Writes the graph, and compares its scores with the runtime's.

    Returns ``bytes`` of the file, ``compared`` users, and ``difference``, the largest there was.
    Raises ArtifactError for a model that has no graph; ImportError where onnx or onnxruntime is
    not installed; OSError.
    """
    content = make_onnx(model)
    difference, compared = _largest_difference(model, content)
    with replacing(path) as file:
        file.write(content)
    return {"bytes": len(content), "compared": compared, "difference": difference}


def make_onnx(model: ServedModel) -> bytes:
    """Makes the graph, as bytes. Raises as :func:`write_onnx` does."""
    onnx = _onnx()
    model.encode()  # which checks everything
    if not served_as(model.metadata["model"]).exports:
        raise ArtifactError(
            f"metadata model is {model.metadata['model']!r}, whose scores are no sums of products"
        )
    graph = Graph()
    n_items, dim = model.items.rows, model.dim
    rows, columns, values = graph.table("items", model.items)
    row, replies, inputs = _maker_of(model)(graph, model, (rows, columns, values))
    zeros = graph.constant("no_scores", np.zeros(n_items, np.float32))
    # The item's entry times the user's, as the runtime multiplies.
    products = graph.add("Mul", graph.add("Gather", row, columns), values)
    scores = graph.scatter(zeros, rows, products)
    if replies:
        scores = graph.add("Add", scores, replies)
    graph.nodes.append(onnx.helper.make_node("Identity", [scores], ["scores"]))
    output = onnx.helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, [n_items])
    made = onnx.helper.make_graph(graph.nodes, "sparserec", inputs, [output], graph.constants)
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    whole = onnx.helper.make_model(made, producer_name="sparserec_np", opset_imports=opsets, ir_version=9)
    told = {
        "model": model.metadata["model"],
        "dim": str(dim),
        "item_ids": json.dumps(model.item_ids.tolist()),
    }
    if model.stores_users:
        told["user_ids"] = json.dumps(model.user_ids.tolist())
    onnx.helper.set_model_props(whole, told)
    onnx.checker.check_model(whole)
    content: bytes = whole.SerializeToString(deterministic=True)
    return content


def _maker_of(model: ServedModel) -> Callable[..., tuple[str, str, list[Any]]]:
    """Looks up what adds the user's row to a graph, and what is added to the scores at last, if any."""
    if model.stores_users:
        return _stored_row
    if not model.has_numbers:
        raise ArtifactError("metadata user_rows is 'ridge': ONNX has no way to solve for rows")
    return _touched_row


def _stored_row(graph: Graph, model: ServedModel, _: tuple[str, str, str]) -> tuple[str, str, list[Any]]:
    """Adds the stored row of ``user``."""
    onnx = _onnx()
    rows, columns, values = graph.table("users", model.users)
    own = graph.add("Cast", graph.add("Equal", rows, "user"), to=onnx.TensorProto.FLOAT)
    row = graph.scatter(
        graph.constant("no_row", np.zeros(model.dim, np.float32)), columns, graph.add("Mul", own, values)
    )
    return row, "", [onnx.helper.make_tensor_value_info("user", onnx.TensorProto.INT64, [1])]


def _touched_row(graph: Graph, model: ServedModel, table: tuple[str, str, str]) -> tuple[str, str, list[Any]]:
    """Adds the row of somebody who touched ``items``: a sum that is cut, marks, and replies apart."""
    onnx = _onnx()
    touched = graph.scatter(
        graph.constant("nothing", np.zeros(model.items.rows, np.float32)), "items", "shares"
    )
    row, replies = _cut_sum(graph, model, table, touched), ""
    if item_columns(model.metadata):
        factors = mark_factors(model.weights.astype(np.float32), float(model.metadata["mark_power"]))
        marks = graph.add("Mul", touched, graph.constant("mark_factors", factors))
        row = graph.add("Concat", row, marks, axis=0)
        replies = _behind(graph, model, _added_up(graph, marks, table))
    kinds = {"items": onnx.TensorProto.INT64, "shares": onnx.TensorProto.FLOAT}
    inputs = [onnx.helper.make_tensor_value_info(name, kind, ["k"]) for name, kind in kinds.items()]
    return row, replies, inputs


def _added_up(graph: Graph, factors: str, table: tuple[str, str, str]) -> str:
    """Adds the sum of the rows of a table, each times its factor; columns have the constant ``no_row``."""
    rows, columns, values = table
    return graph.scatter("no_row", columns, graph.add("Mul", graph.add("Gather", factors, rows), values))


def _behind(graph: Graph, model: ServedModel, row: str) -> str:
    """Takes the columns of a row that stand for items."""
    ends = [model.dim - item_columns(model.metadata), model.dim]
    return graph.add("Slice", row, *(graph.constant(f"mark_{at}", np.array([at], np.int64)) for at in ends))


def _cut_sum(graph: Graph, model: ServedModel, table: tuple[str, str, str], touched: str) -> str:
    """Adds the sum of the touched rows, with zeros but for its largest entries."""
    dim = model.dim - item_columns(model.metadata)
    factors = graph.add("Mul", touched, graph.constant("weights", model.weights.astype(np.float32)))
    graph.constant("no_row", np.zeros(model.dim, np.float32))
    # Columns that stand for items are no part of the sum; they are added up, and left behind.
    whole = _added_up(graph, factors, table)
    first, end = (graph.constant(name, np.array([at], np.int64)) for name, at in (("begin", 0), ("end", dim)))
    row = graph.add("Slice", whole, first, end)
    most = min(int(model.metadata["row_entries"]), dim)
    graph.nodes.append(
        _onnx().helper.make_node(
            "TopK",
            [graph.add("Abs", row), graph.constant("most", np.array([most], np.int64))],
            ["largest", "kept"],
        )
    )
    zeros = graph.constant("no_sum", np.zeros(dim, np.float32))
    return graph.add("ScatterElements", zeros, "kept", graph.add("Gather", row, "kept"), axis=0)


def _largest_difference(model: ServedModel, content: bytes) -> tuple[float, int]:
    """Compares the graph's scores of some users with the runtime's. Raises ArtifactError if they are others."""
    import onnxruntime  # an extra

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    recommender = Recommender(model.encode())
    stored, scorer = recommender.model, recommender._scorer
    levels = recency_levels(float(model.metadata.get("recency", "0")))
    users = [row for row in range(len(stored.user_ids)) if len(stored.touched_by(row)[0])][:COMPARED]
    worst = 0.0
    for user in users:
        items, ages, shares = stored.touched_by(user)
        told = {"items": items.astype(np.int64), "shares": (levels[ages] * shares).astype(np.float32)}
        if model.stores_users:
            told = {"user": np.array([user], np.int64)}
        expected, (found,) = scorer.scores(user), session.run(["scores"], told)
        worst = max(worst, float(np.abs(found - expected).max(initial=0)))
        if worst > 1e-4 * max(1.0, float(np.abs(expected).max(initial=0))):
            raise ArtifactError(
                f"onnxruntime scores the items of user row {user} by {worst:g} otherwise than the model"
            )
    return worst, len(users)


def _onnx() -> Any:
    """Imports onnx. Raises ImportError, which says how to get it."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "ONNX takes the packages onnx and onnxruntime: pip install 'sparserec_np[onnx]'"
        ) from error
    return onnx
