"""An estimator in the manner of scikit-learn, whose answers have the shapes of implicit's."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterable
from functools import cached_property
from inspect import signature
from typing import IO, Any

import numpy as np

from sparserec_np.data.conversion import READER_OPTIONS, as_held_out, as_interactions, as_known, as_more
from sparserec_np.data.ids import are_texts
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.item_features import as_item_features
from sparserec_np.data.table import Array
from sparserec_np.evaluation.held_out import measure_held_out
from sparserec_np.machine.locks import ForkLock
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.runtime import (
    ON_UNKNOWN,
    Explanation,
    Ids,
    Lists,
    Path,
    Recommender,
    Source,
    UnknownIdError,
    UnknownItemError,
    UnknownUserError,
    expect_count,
    expect_way,
    find_row,
    is_one,
    listed,
    lists_of,
)
from sparserec_np.serving.model_file import load_model, save_model
from sparserec_np.training.asked import free_to_choose, with_only_model
from sparserec_np.training.choosing import Choice, choose
from sparserec_np.training.cold_items import train_with_features, with_items
from sparserec_np.training.fitted import Fitted, Report
from sparserec_np.training.parameters import Parameters
from sparserec_np.training.progress import Callback, reporting
from sparserec_np.training.run_directory import CONFIG, load_run, save_run
from sparserec_np.training.saving import fitted_from, saved_config, served_model
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train
from sparserec_np.training.updating import update

# Parameter -> its default: the settings of a training run, and the threads. A model or a width that
# is None is chosen by validation.
PARAMETERS: dict[str, Any] = {name: one.default for name, one in signature(Parameters).parameters.items()}
MODEL_ENDING = ".safetensors"

RANKED_AT_ONCE = 1 << 22  # places of the whole lists that exist at once where some items are ranked

# Held while a ranker is made of a model: models work in arrays of their own meanwhile.
_making = ForkLock()


class SparseRec(Parameters):
    """An estimator that trains, learns on, recommends and measures.

    The parameters are the settings of a training run, as of ``Config``, and ``threads``; each is an
    attribute, and described under :class:`~sparserec_np.training.parameters.Parameters`. Where
    neither ``model`` nor ``dim`` is given, a part of the interactions is held out, the starts of
    several models and widths are looked at, and what ranks that part best is trained, as by
    ``sparserec train FILE``; ``fitted_.config`` says what it was. With ``dim`` alone the model is
    mf.
    ``get_params`` and ``set_params`` are as scikit-learn's, and ``sklearn.base.clone`` copies it.
    Parameters are checked by :meth:`fit`, which raises ConfigError. Interactions are given as
    :func:`~sparserec_np.data.conversion.as_interactions` takes them: as Interactions, the path of a
    file, a frame, pairs of ids, or a SciPy matrix or dense array of users x items. Frames and pairs
    have a row for each interaction, and can be searched and cross-validated over, with ``cv`` one
    of :mod:`~sparserec_np.data.folds`. A matrix has a row for each user, who is known by its number
    alone: folds of its rows are about other users, and are refused when they are measured.

    What a fitted object can be asked has the names and the arguments that it has in
    :class:`~sparserec_np.runtime.Recommender`, which serves a saved model, and the same answers:
    ``recommend``, ``recommend_for_items``, ``similar_items``, ``similar_users``, ``score_items``,
    ``explain``, ``user_factors`` and ``item_factors``. Answers here are arrays, (n,) for one and
    (m, n) for several. ``score`` is what scikit-learn means by it: a measure of the whole model.

    One fitted object may be asked by many threads at once, by forked processes and by those that
    get a pickled copy; lists are what one thread alone would get. Objects of their own may be
    fitted side by side. While an object learns (``fit``, ``partial_fit``), no other thread may use
    it.

    Attributes:
        fitted_: the trained model and how it came about, once :meth:`fit` or :meth:`load` was
            called.
        interactions_: the interactions that the model knows.

    >>> from sparserec_np import generate
    >>> log = generate(60, 40, 600, seed=1)
    >>> model = SparseRec(dim=8, density=0.3, epochs=2, learning_rate=0.01, threads=1).fit(log)
    >>> ids, scores = model.recommend([0, 5], n=3)
    >>> ids.shape, scores.shape
    ((2, 3), (2, 3))
    """

    fitted_: Fitted
    interactions_: Interactions

    def __repr__(self) -> str:
        changed = {name: value for name, value in self.get_params().items() if value != PARAMETERS[name]}
        return f"SparseRec({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    def __sklearn_tags__(self) -> Any:
        """Returns what scikit-learn's pipelines and searches ask for.

        It is neither classifier nor regressor, and takes arrays, sparse matrices and texts as ids.
        """
        from sklearn.utils import InputTags, Tags, TargetTags

        inputs = InputTags(two_d_array=True, sparse=True, string=True)
        return Tags(estimator_type=None, target_tags=TargetTags(required=False), input_tags=inputs)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns all parameters by name.

        There are none within others, so ``deep`` changes nothing.
        """
        return {name: getattr(self, name) for name in PARAMETERS}

    def set_params(self, **parameters: Any) -> SparseRec:
        """Sets some parameters, and returns the estimator.

        Raises ValueError for a name that is none.
        """
        for name in parameters:
            if name not in PARAMETERS:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator SparseRec; there are: {', '.join(PARAMETERS)}"
                )
        for name, value in parameters.items():
            setattr(self, name, value)
        return self

    def fit(
        self,
        X: Any,
        y: None = None,
        *,
        item_features: Any = None,
        callbacks: Callback | Iterable[Callback] = (),
        verbose: bool = False,
        **options: Any,
    ) -> SparseRec:
        """Trains anew on interactions; ``y`` is not used.

        Args:
            X: the interactions.
            y: nothing.
            item_features: attributes of items, as
                :func:`~sparserec_np.data.item_features.as_item_features` takes them: those without
                interactions get rows of them, which are recommended like all others.
            callbacks: functions, or one, that are called with a copy of the record of each epoch, 0
                being the start: a dict with ``phase`` ("choice", "search", "refit" or "train"),
                ``start``, ``learning_rate``, ``epoch``, ``seconds``, ``loss`` (None for the start)
                and, where it was measured, ``ndcg@20``. Records of the choice, of starts that are
                looked at and not trained, have ``model`` and ``dim``, too; what a callback returns
                for them ends nothing. One that returns True ends the training at hand, as
                ``patience`` does: of those that a search makes the next begins, and the best is
                trained again on all data. One that raises KeyboardInterrupt ends them all, and the
                best so far is kept; of the choice nothing is, and it is raised.
            verbose: tell of epochs, in a notebook in one line that is written anew, elsewhere in
                lines of the log "sparserec_np" (of level INFO; on stderr, unless logging was told
                otherwise).
            options: names of columns and the like, and ``sample_weight``, (n,) weights of rows that
                are pairs of ids; see :func:`~sparserec_np.data.conversion.as_interactions`. Without
                weights all interactions count alike.

        Raises:
            DataError: ``X`` is no interactions, or there is nothing to train on.
            ConfigError: parameters that are wrong, or go ill together.
        """
        log = as_interactions(X, **options)
        features = None if item_features is None else as_item_features(item_features)
        with reporting(callbacks, verbose) as report:
            choice = self._chosen(log, report)
            config = choice.config
            how: dict[str, Any] = {"threads": self.threads, "on_epoch": report}
            if features is None:
                return self._keep(train(log, config, start=choice.start, **how), log)
            return self._keep(train_with_features(log, features, config, **how), with_items(log, features))

    def partial_fit(
        self,
        X: Any,
        y: None = None,
        *,
        callbacks: Callback | Iterable[Callback] = (),
        verbose: bool = False,
        **changes: Any,
    ) -> SparseRec:
        """Learns on with more interactions, within the budget.

        Where nothing was trained before, it trains anew. A model that stores no users is trained
        only where ``epochs`` are given: users are what they touched, new items are solved for.
        Where ``X`` holds nothing that is not known, a warning says so, and nothing changes.

        Args:
            X: more interactions, of users and items that are known or not; what is known is merged.
                A matrix must have at least as many rows and columns as there are users and items.
            y: nothing.
            callbacks, verbose: as for :meth:`fit`.
            changes: settings of this update; see :func:`~sparserec_np.training.updating.update`,
                which has defaults of its own; and names of columns, as for :meth:`fit`.

        Raises:
            DataError: ``X`` is no interactions, or a matrix of other users.
            ConfigError: a model that cannot learn on.
        """
        names = (*READER_OPTIONS, "sample_weight")
        options = {name: changes.pop(name) for name in names if name in changes}
        if not hasattr(self, "fitted_"):
            return self.fit(X, callbacks=callbacks, verbose=verbose, **options)
        known = self.interactions_
        new = as_more(X, known, **options)
        whole = known.joined(new)
        if whole.n_interactions == known.n_interactions:
            warnings.warn(
                "The model knows all of these interactions already: there is nothing to learn, and it stays as it is",
                stacklevel=2,
            )
            return self
        former = dataclasses.replace(self.fitted_, log=known)
        with reporting(callbacks, verbose) as report:
            return self._keep(update(former, new, threads=self.threads, on_epoch=report, **changes), whole)

    def recommend(
        self,
        users: Any,
        n: int = 10,
        items: Iterable[int | str] | None = None,
        exclude: Iterable[int | str] | None = None,
        filter_seen: bool = True,
        on_unknown: str = "raise",
    ) -> Lists:
        """Returns the best items for one user, or for several.

        Args:
            users: an outside id, or (m,) of them.
            n: how many items.
            items: rank these outside ids only; all by default.
            exclude: outside ids to leave out; those the model does not know need no leaving out.
            filter_seen: leave out the items that a user is known to have.
            on_unknown: "raise", or what a user who is not known gets: the "popular" items, or
                nothing, to "skip". ``items`` that are not known are then left out.

        Returns:
            Outside ids of items and float32 scores, (n,) for one user and (m, n) for several, best
            first. Where fewer items are left, a list goes on with the id -1 (or an empty text) and
            the score -inf. The answer unpacks into these two; its attribute ``personal``, () or
            (m,), says which lists were made for somebody.

        A user without interactions, as an empty row of a matrix is, gets the items that most users
        touched, all with the score 0; a warning says so, and ``personal`` is false. What a user is
        known to dislike is in no list.

        Raises:
            UnknownUserError, UnknownItemError: an id that is not known.
            ValueError: ``n`` below 1, or no such ``on_unknown``.
        """
        log, strict = self._known, expect_way(on_unknown, ON_UNKNOWN) == "raise"
        width = min(expect_count(n), log.n_items)
        rows = _rows(users, self.user_ids, UnknownUserError, "user", strict)
        hidden = np.zeros(log.n_items, dtype=bool)
        if items is not None:
            among = _rows(list(listed(items)), self.item_ids, UnknownItemError, "item", strict)
            hidden[:] = True
            hidden[among[among >= 0]] = False
        if exclude is not None:
            left_out = _rows(list(listed(exclude)), self.item_ids, UnknownItemError, "item", False)
            hidden[left_out[left_out >= 0]] = True
        personal = rows >= 0
        personal[personal] = log.user_degrees[rows[personal]] > 0
        places = np.full((len(rows), width), -1, dtype=np.int32)
        scores = np.full((len(rows), width), -np.inf, dtype=np.float32)
        seen = log if filter_seen else self._nothing
        places[personal], scores[personal] = self._ranked(rows[personal], width, hidden, seen)
        _tell_of_strangers(int(np.count_nonzero(~personal & (rows >= 0))), len(rows))
        for nobody in np.flatnonzero(~personal & ((rows >= 0) | (on_unknown == "popular"))).tolist():
            disliked = log.disliked_by(rows[nobody]) if rows[nobody] >= 0 else np.empty(0, np.int32)
            places[nobody], scores[nobody] = self._most_touched(hidden, disliked, width)
        return _lists(places, scores, personal, (log.item_ids, n, is_one(users)))

    def recommend_for_items(
        self,
        liked: Iterable[Any],
        n: int = 10,
        items: Iterable[int | str] | None = None,
        exclude: Iterable[int | str] | None = None,
        filter_seen: bool = True,
        on_unknown: str = "raise",
    ) -> Lists:
        """Returns the best items for somebody who touched ``liked``, or for each of several.

        Nothing is trained, and nobody has to be known; scores are on the scale of those of
        :meth:`recommend`. See :meth:`Recommender.recommend_for_items
        <sparserec_np.runtime.Recommender.recommend_for_items>`, which makes the lists.

        Args:
            liked: outside ids of items, the latest last; or a list of such lists.
            n, items, exclude: as in :meth:`recommend`.
            filter_seen: leave out the items in ``liked``.
            on_unknown: "raise", or what is done about ``liked`` items that are not known: they are
                left out, and of whom nothing is left gets the "popular" items, or nothing ("skip").

        Returns as :meth:`recommend` does.

        Raises:
            UnknownItemError: an id that is not known.
            ValueError: ``n`` below 1, or an empty list.
            ArtifactError: a model that folds nobody in.
        """
        served = self._asked
        return lists_of(
            served.recommend_for_items(liked, n, items, exclude, filter_seen, on_unknown), n, served.item_ids
        )

    def similar_items(self, items: Any, n: int = 10, on_unknown: str = "raise") -> Lists:
        """Returns the items nearest to one, or to each of several, by the cosine of their rows.

        No item is near to itself, and none to one that nobody touched.

        Args and Returns are as in :meth:`recommend`, with items for users; ``on_unknown`` is
        "raise" or "skip".

        Raises:
            UnknownItemError: an id that is not known.
            ValueError: ``n`` below 1.
            ArtifactError: a model whose stored rows are not what is multiplied.
        """
        served = self._asked
        return lists_of(served.similar_items(items, n, on_unknown), n, served.item_ids)

    def similar_users(self, users: Any, n: int = 10, on_unknown: str = "raise") -> Lists:
        """Returns the users nearest to one, or to each of several, by the cosine of their rows.

        No user is near to themselves, and none to one who touched nothing. All else is as in
        :meth:`similar_items`, with ids of users.

        Raises:
            UnknownUserError: an id that is not known.
            ValueError: ``n`` below 1.
            ArtifactError: a model whose stored rows are not what is multiplied.
        """
        served = self._asked
        return lists_of(served.similar_users(users, n, on_unknown), n, served.user_ids)

    def score_items(self, users: Any, items: Any, on_unknown: str = "raise") -> Any:
        """Scores items for users, seen or not, as lists score them.

        Args:
            users: an outside id, or (m,) of them.
            items: an outside id, or (n,) of them.
            on_unknown: "raise"; or "skip", and scores of whom and what is not known are NaN; or
                "popular", and those of users who are not known are 0, as in lists of popular items.

        Returns:
            float32 of the shape of ``users`` followed by that of ``items``: (m, n) for several
            users and items, a single number for one user and one item. Users without interactions
            score 0 everywhere.

        Raises:
            UnknownUserError, UnknownItemError: an id that is not known.
        """
        return self._asked.score_items(users, items, on_unknown)

    def explain(self, user: Any, item: Any, n: int | None = 10) -> Explanation:
        """Says which of the items that a user touched speak for an item: the ``n`` that say most.

        The parts add up to ``score`` of what is returned, for fism and itemknn that of lists; see
        :meth:`Recommender.explain <sparserec_np.runtime.Recommender.explain>`.

        Raises:
            UnknownUserError, UnknownItemError: an id that is not known.
            ArtifactError: a model that neither adds up items nor folds in.
        """
        return self._asked.explain(user, item, n)

    def user_factors(self, dense: bool = False) -> Any:
        """Returns the rows of all users, in the order of ``user_ids``; see :meth:`item_factors`."""
        return self._asked.user_factors(dense)

    def item_factors(self, dense: bool = False) -> Any:
        """Returns the rows of all items, in the order of ``item_ids``, as a SciPy CSR matrix or dense.

        Their inner products with the rows of users are the scores; see
        :meth:`Recommender.item_factors <sparserec_np.runtime.Recommender.item_factors>`.

        Raises:
            ArtifactError: a model whose scores are no inner products, as of neumf.
        """
        return self._asked.item_factors(dense)

    def score(self, X: Any, y: None = None, **options: Any) -> float:
        """Computes NDCG@20 of all users on held-out interactions.

        Those of users or items that are not known are left out. But where most users of ``X`` are
        not known, as when whole users were held out, these are folded in from four fifths of
        theirs, and ranked for the rest.

        Args:
            X: held-out interactions. A matrix must be of the shape that the model was fitted on,
                and hold nothing that it was fitted on.
            y: nothing.
            options: as for :meth:`fit`.

        Raises:
            DataError: there is nothing to measure: all is known, or nothing is; or a matrix of
                other users.
        """
        known = self._known
        held_out = as_held_out(X, known, **options)
        rng = np.random.default_rng([int(self._config.seed), 2])
        return measure_held_out(self._ranker, lambda: self._recommender, held_out, known, rng)

    def save(self, path: Path | IO[bytes]) -> None:
        """Writes a run directory, or the model file alone.

        Args:
            path: a folder; or, where the name ends in ``.safetensors``, the file; or a file that is
                open in binary mode, into which the model file is written.

        Raises:
            SparseRecError: the path is no place for it.
        """
        log = self._known
        if isinstance(path, (str, os.PathLike)) and not os.fspath(path).endswith(MODEL_ENDING):
            save_run(path, self.fitted_, log)
        else:
            save_model(path, served_model(self.fitted_, log))

    @classmethod
    def load(cls, path: Source, interactions: Any = None) -> SparseRec:
        """Reads a run directory or a model file, as :meth:`save` or ``sparserec train`` wrote it.

        Of a model file alone the settings of training are not known: they are at their defaults.

        Args:
            path: the path of the directory or of the model file; or a model file that is open in
                binary mode, or its bytes.
            interactions: the interactions it was trained on, where the model file was exported
                without. A matrix must have a row for each user and a column for each item.

        Raises:
            DataError: they are missing, or a matrix of other users.
            ArtifactError, ConfigError, OSError: it cannot be read, or is not sound.
        """
        known = None if interactions is None else as_interactions(interactions)
        if isinstance(path, (str, os.PathLike)) and os.path.isfile(os.path.join(path, CONFIG)):
            fitted = load_run(path, known)
        else:
            model = load_model(path)
            config = saved_config(model.metadata)
            if not BASE_MODELS[config.model].counted:
                config = dataclasses.replace(config, dim=model.dim, density=float(model.metadata["density"]))
            fitted = fitted_from(model, config, [], known)
        if interactions is not None and not isinstance(interactions, (str, os.PathLike)):
            as_known(interactions, fitted.log)  # a matrix says by its places who is who
        return cls(**fitted.config.to_dict())._keep(fitted, fitted.log)

    @property
    def n_features_in_(self) -> int:
        """Number of items, which are the columns of a matrix of users x items.

        Raises:
            AttributeError: before :meth:`fit`.
        """
        if not hasattr(self, "interactions_"):
            raise AttributeError("n_features_in_ is there once fit or load was called")
        return self.interactions_.n_items

    def _keep(self, fitted: Fitted, log: Interactions) -> SparseRec:
        for name in ("_made_ranker", "_made_recommender", "user_ids", "item_ids", "_nothing"):
            self.__dict__.pop(name, None)
        self.fitted_, self.interactions_ = fitted, log
        return self

    @property
    def _given(self) -> dict[str, Any]:
        """The settings that are not at their defaults, and the model where these say it."""
        settings = {name: value for name, value in self.get_params().items() if name != "threads"}
        return with_only_model(
            {name: value for name, value in settings.items() if not _is(value, PARAMETERS[name])}
        )

    @property
    def _config(self) -> Config:
        """The settings, as they are before anything is chosen."""
        return Config.from_dict(self._given)

    def _chosen(self, log: Interactions, report: Report) -> Choice:
        """What to train: settings that nobody named are chosen by validation."""
        config = self._config
        free = free_to_choose(self._given, config, log)
        return choose(log, config, free, threads=self.threads, on_look=report) if free else Choice(config)

    @property
    def _known(self) -> Interactions:
        """The interactions that the model knows. Raises NotFittedError before :meth:`fit`."""
        if not hasattr(self, "interactions_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(
                "This SparseRec is not fitted yet: call fit or load before it is asked for anything"
            )
        return self.interactions_

    @property
    def _ranker(self) -> Any:
        with _making:
            return self._made_ranker

    @property
    def _asked(self) -> Recommender:
        """The model as it is served. Raises NotFittedError before :meth:`fit`."""
        assert self._known is not None
        return self._recommender

    @property
    def _recommender(self) -> Recommender:
        with _making:
            return self._made_recommender

    @cached_property
    def _made_ranker(self) -> Any:
        return self.fitted_.model.ranker()

    @cached_property
    def _made_recommender(self) -> Recommender:
        return Recommender(served_model(self.fitted_, self.interactions_).encode())

    @cached_property
    def user_ids(self) -> Ids:
        """The outside ids of the users, in the order of the rows of :meth:`user_factors`."""
        return Ids.from_array(self._known.user_ids)

    @cached_property
    def item_ids(self) -> Ids:
        """The outside ids of the items, in the order of the rows of :meth:`item_factors`."""
        return Ids.from_array(self._known.item_ids)

    def _ranked(self, rows: Array, width: int, hidden: Array, seen: Interactions) -> tuple[Array, Array]:
        """Ranks the items that are not in ``hidden`` (n_items,): places and scores, (m, width) each."""
        left_out = int(np.count_nonzero(hidden))
        if not left_out:
            return self._ranker.rank(rows.astype(np.int32), width, seen)
        # What is left out may stand anywhere in a list, and so lists are made as much longer.
        longer, hides = min(width + left_out, len(hidden)), np.append(hidden, True)
        places, scores = (np.empty((len(rows), width), dtype) for dtype in (np.int32, np.float32))
        size = max(1, RANKED_AT_ONCE // longer)
        for first in range(0, len(rows), size):
            some = slice(first, first + size)
            found, theirs = self._ranker.rank(rows[some].astype(np.int32), longer, seen)
            gone = hides[found]  # also of the place -1
            order = np.argsort(gone, axis=1, kind="stable")[:, :width]
            found, theirs = np.where(gone, -1, found), np.where(gone, -np.inf, theirs)
            places[some], scores[some] = (np.take_along_axis(one, order, axis=1) for one in (found, theirs))
        return places, scores

    def _most_touched(self, hidden: Array, disliked: Array, width: int) -> tuple[Array, Array]:
        """Lists the items that most users touched, without some: places and scores, (width,) each."""
        popular = self._recommender.popular_items
        some = popular[~hidden[popular] & ~np.isin(popular, disliked)]
        missing = max(0, width - len(some))
        places = np.append(some[: width - missing], np.full(missing, -1, dtype=np.int32))
        return places, np.where(places >= 0, np.float32(0), -np.inf)

    @cached_property
    def _nothing(self) -> Interactions:
        """No interactions, over the same users and items."""
        log = self.interactions_
        return log.subset(np.zeros(log.n_interactions, dtype=bool))


# help() shows the methods of a class above, and not what it says of its attributes.
if SparseRec.__doc__ and Parameters.__doc__:  # not with python -OO
    SparseRec.__doc__ += (
        f"\n    Parameters:\n{Parameters.__doc__.partition('Attributes:')[2].lstrip(chr(10))}"
    )


def _is(value: Any, default: Any) -> bool:
    """Tells whether a parameter is at its default; what is of another type is not, whatever it says."""
    return value is default or (type(value) is type(default) and bool(value == default))


def _rows(wanted: Any, ids: Ids, error: type[UnknownIdError], noun: str, strict: bool) -> Array:
    """Looks ids up: returns the places (m,) of ``wanted``, an id or (m,) of them, in ``ids``.

    12 and "12" are the same id. One that is not known is -1, unless that is to be ``strict``.
    """
    several: Iterable[Any] = [wanted] if is_one(wanted) else wanted
    return np.array([find_row(ids, one, error, noun, strict) for one in several], dtype=np.int64)


def _tell_of_strangers(count: int, asked: int) -> None:
    """Warns that users without interactions get what is popular, if there are any."""
    if count:
        who = f"{count:,} of the {asked:,} users asked for {'have' if count > 1 else 'has'} no interactions"
        warnings.warn(
            f"{who}: what most users touched is listed instead, all with the score 0 (see personal of the answer)",
            stacklevel=3,
        )


def _lists(places: Array, scores: Array, personal: Array, asked: tuple[Array, int, bool]) -> Lists:
    """Looks up the ids of places (m, up to n), and pads ids and scores to n.

    A place of -1 is none. ``asked`` are all ids, n, and whether a single list was asked for.
    """
    ids, n, alone = asked
    missing: Any = "" if are_texts(ids) else -1
    found = np.full((len(places), n), missing, dtype=ids.dtype)
    reached = np.full((len(places), n), -np.inf, dtype=np.float32)
    width = places.shape[1]
    found[:, :width] = np.where(places >= 0, ids[np.maximum(places, 0)], missing)
    reached[:, :width] = scores
    return Lists(found[0], reached[0], personal[0]) if alone else Lists(found, reached, personal)
