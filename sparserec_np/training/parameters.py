"""The parameters of the estimator, written out one by one, so that editors and type checkers know them.

Made from the table of settings by ``python -m tests.makers.pages``: change that, not this.
"""

from __future__ import annotations

from typing import Any


class Parameters:
    """The settings of a training run, and the threads, as an estimator's parameters.

    What each value means in full is told in docs/settings.md; None is a default that depends on
    others. They are checked when they are used.

    Attributes:
        model: Base recommender. One of mf, lightgcn, neumf, fism, popularity, itemknn. By
            validation where neither model nor dim is given.
        layers: Steps on the graph, with lightgcn; 3 by default.
        hidden: Units of the first dense layer, with neumf; 16 by default.
        method: How the budget is spent. One of sparserec, rigl, set, static, magnitude, granet,
            dense-small, dense.
        dim: Embedding dimension. By validation where neither model nor dim is given.
        density: Part of all entries that is stored, above 0 and at most 1.
        entries: Entries that are stored, instead of a density.
        memory_budget: Bytes of the served tables, like 1.5MB, instead of a density.
        start: What the mask and its values start from; by default neighbours, spectral or condensed
            (on much data: als), by validation. One of spectral, als, condensed, nmf, uniform,
            fitted, neighbours, plain-neighbours.
        start_score: Mean score of a training pair that the start is scaled to; 0 leaves it.
        loss: What is minimised. One of bpr, softmax, bce, bsl, ccl.
        similarity: What the scores are; cosine for bsl and ccl, else dot. One of dot, cosine.
        temperature: Scores are divided by it; 1, for cosines 0.1 unless the loss is ccl.
        negative_weight: Weight of a pair's negatives together, with bce and ccl.
        margin: Cosine below which a negative costs nothing, with ccl.
        sharpness: Temperature of the positives divided by that of the negatives, with bsl.
        neighbours: Similar items that an item keeps, with itemknn; 50 by default.
        shrinkage: Shrinks similarities that rest on few users, with itemknn; 30 by default.
        user_rows: How users' rows are made, with fism; by default as suits the start. One of sum,
            ridge, neighbours.
        recency: How much more a user's later interactions count, with fism; 0 by default.
        untouched_weight: Weight of an item that was not touched, with fism; 0.2 where user-rows is
            ridge.
        ridge: Weight of a user's row's own length, with fism; 1 where user-rows is ridge.
        neighbour_share: Part of the entries that are neighbours, with fism; 0.5 by default.
        neighbour_weight: How much neighbours say beside rows, with fism; 3 by default.
        neighbour_popularity: How much more neighbours say of popular items, with fism; 0.125 by
            default.
        embedding_dropout: Probability that an entry is left out when a batch reads it.
        negatives: Negatives shared by a batch; 1 draws one for each pair.
        dislikes_first: Part of the negatives drawn from what users dislike.
        epochs: Most epochs; validation may choose fewer.
        order: Random batches, or pair after pair in cells: many times as fast. One of batches,
            cells.
        batch_size: Pairs in a batch; in cells, that share their negatives.
        relative_rate: Count the learning rate in root mean squares of the values to be trained.
        pairs_together: Most pairs of one user that come in the same batch because they are the same
            user's.
        optimizer: How values follow their gradients. One of adam, adagrad, sgd.
        learning_rate: Learning rate at first; it falls to zero as a cosine.
        l2_user: L2 weight of a pair's user.
        l2_positive: L2 weight of a pair's item.
        l2_negative: L2 weight of a pair's negatives.
        decay_to: What L2 draws the values towards. One of start, zero.
        explore: Part of the rows explored between topology updates.
        importance: What explored rows are drawn by. One of degree, gradient, uniform.
        drop_fraction: Part of the entries within reach that changes at first.
        drop_until: Part of the epochs after which the mask stays.
        drop_interval: Epochs between topology updates.
        regrow_start: Start of a regrown entry, as a part of the largest pruned one; where an
            exchange has to pay, at most as a part of the median of what is stored. What feeds
            layers starts at 0 there.
        swap_margin: How many times as much as the pruned entry a regrown one has to be worth; 0 for
            any.
        floor: Entries that a row never loses.
        validation: Part of each user's items held out to choose the epoch by, or a file of them; 0
            for none.
        hold_out: Which part of each user's interactions is held out. One of last, random, both.
        evaluate_every: Epochs between two looks at the validation part.
        patience: Looks without getting better before training stops; 0 never stops.
        refit: Train again on all data for the epochs chosen.
        seed: Seed of all random numbers.
        threads: Threads to work on; all by default.
    """

    model: str | None
    layers: int | None
    hidden: int | None
    method: str
    dim: int | None
    density: float
    entries: int | None
    memory_budget: int | None
    start: str | None
    start_score: float
    loss: str
    similarity: str | None
    temperature: float | None
    negative_weight: float | None
    margin: float | None
    sharpness: float | None
    neighbours: int | None
    shrinkage: float | None
    user_rows: str | None
    recency: float | None
    untouched_weight: float | None
    ridge: float | None
    neighbour_share: float | None
    neighbour_weight: float | None
    neighbour_popularity: float | None
    embedding_dropout: float
    negatives: int | None
    dislikes_first: float
    epochs: int
    order: str
    batch_size: int | None
    relative_rate: bool
    pairs_together: int
    optimizer: str | None
    learning_rate: float | None
    l2_user: float | None
    l2_positive: float | None
    l2_negative: float | None
    decay_to: str
    explore: float
    importance: str
    drop_fraction: float
    drop_until: float
    drop_interval: int
    regrow_start: float
    swap_margin: float
    floor: int
    validation: float
    hold_out: str | None
    evaluate_every: int
    patience: int
    refit: bool
    seed: int
    threads: int | None

    def __init__(
        self,
        *,
        model: str | None = None,
        layers: int | None = None,
        hidden: int | None = None,
        method: str = "sparserec",
        dim: int | None = None,
        density: float = 0.1,
        entries: int | None = None,
        memory_budget: int | None = None,
        start: str | None = None,
        start_score: float = 2.0,
        loss: str = "softmax",
        similarity: str | None = None,
        temperature: float | None = None,
        negative_weight: float | None = None,
        margin: float | None = None,
        sharpness: float | None = None,
        neighbours: int | None = None,
        shrinkage: float | None = None,
        user_rows: str | None = None,
        recency: float | None = None,
        untouched_weight: float | None = None,
        ridge: float | None = None,
        neighbour_share: float | None = None,
        neighbour_weight: float | None = None,
        neighbour_popularity: float | None = None,
        embedding_dropout: float = 0.0,
        negatives: int | None = None,
        dislikes_first: float = 0.0,
        epochs: int = 20,
        order: str = "batches",
        batch_size: int | None = None,
        relative_rate: bool = False,
        pairs_together: int = 1,
        optimizer: str | None = None,
        learning_rate: float | None = None,
        l2_user: float | None = None,
        l2_positive: float | None = None,
        l2_negative: float | None = None,
        decay_to: str = "start",
        explore: float = 0.1,
        importance: str = "degree",
        drop_fraction: float = 0.3,
        drop_until: float = 0.75,
        drop_interval: int = 1,
        regrow_start: float = 0.5,
        swap_margin: float = 6.0,
        floor: int = 1,
        validation: float = 0.1,
        hold_out: str | None = None,
        evaluate_every: int = 5,
        patience: int = 4,
        refit: bool = True,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        given: dict[str, Any] = dict(locals())
        del given["self"]
        vars(self).update(given)
