"""What a type checker has to say of calls of the public classes: `mypy` reads this, and nothing runs it.

Where it has to find an error, the line ignores one of that kind; an ignored error that is none is an
error itself (``warn_unused_ignores``).
"""

from __future__ import annotations

import io

from sparserec_np import Recommender, SparseRec
from sparserec_np.data.interactions import Interactions
from sparserec_np.runtime import Explanation, Lists, Recommendation
from sparserec_np.training.fitted import Fitted


def parameters_are_known() -> None:
    model = SparseRec(dim=64, start="als", learning_rate=None, refit=False, threads=2)
    SparseRec(dims=64)  # type: ignore[call-arg]
    SparseRec(64)  # type: ignore[call-arg, arg-type]
    SparseRec(dim="64")  # type: ignore[arg-type]
    SparseRec(density=None)  # type: ignore[arg-type]
    dim: int | None = model.dim
    start: str | None = model.start
    rate: float | None = model.learning_rate
    threads: int | None = model.threads
    wrong: str = model.dim  # type: ignore[assignment]
    nothing = model.dims  # type: ignore[attr-defined]
    model.set_params(dim=32).dim = 16
    del dim, start, rate, threads, wrong, nothing


def attributes_of_a_fitted_one_are_known(model: SparseRec) -> None:
    fitted: Fitted = model.fit([("ann", "tea")], verbose=True, callbacks=[lambda record: None]).fitted_
    log: Interactions = model.interactions_
    wrong: int = model.interactions_  # type: ignore[assignment]
    del fitted, log, wrong


def answers_are_known(model: SparseRec, served: Recommender) -> None:
    lists: Lists = model.recommend(
        [1, 2], n=3, items=[4], exclude=["5"], filter_seen=False, on_unknown="skip"
    )
    one: Lists = model.recommend("ann")
    alone: Recommendation = served.recommend("ann")
    several: Lists = served.recommend(["ann", "bob"])
    alone = served.recommend_for_items(["tea", 3], exclude=["milk"])
    several = served.recommend_for_items([["tea"], [3]])
    alone, several = served.similar_items("tea"), served.similar_users([3, 4], n=2)
    names: list[int | str] = served.recommend(3).items
    told: Explanation = model.explain("ann", "tea", n=None)
    total: float = served.explain("ann", "tea").score
    served.recommend("ann", m=3)  # type: ignore[call-overload]
    model.recommend("ann", m=3)  # type: ignore[call-arg]
    names = model.recommend(3).items  # type: ignore[assignment]
    nothing = model.recommended  # type: ignore[attr-defined]
    del nothing, lists, one, alone, several, names, told, total


def files_are_paths_or_open_or_bytes(model: SparseRec) -> None:
    model.save("run")
    model.save(io.BytesIO())
    model.save(io.StringIO())  # type: ignore[arg-type]
    for given in ("run", b"", io.BytesIO()):
        SparseRec.load(given)
        Recommender.open(given)
    Recommender.open(3)  # type: ignore[arg-type]
