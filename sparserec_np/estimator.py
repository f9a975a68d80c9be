"""An estimator in the manner of scikit-learn, whose answers have the shapes of implicit's."""

from __future__ import annotations

import dataclasses
import operator
import os
import warnings
from collections.abc import Iterable
from functools import cached_property
from inspect import Parameter, Signature
from typing import Any

import numpy as np
import numpy.typing as npt

from sparserec_np.data.conversion import READER_OPTIONS, as_held_out, as_interactions, as_known, as_more
from sparserec_np.data.ids import are_texts
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.item_features import as_item_features
from sparserec_np.data.table import Array
from sparserec_np.evaluation.held_out import measure_held_out
from sparserec_np.machine.locks import ForkLock
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.runtime import Ids, Recommender, UnknownItemError, UnknownUserError
from sparserec_np.serving.model_file import load_model, save_model
from sparserec_np.training.cold_items import train_with_features, with_items
from sparserec_np.training.fitted import Fitted
from sparserec_np.training.run_directory import CONFIG, load_run, save_run
from sparserec_np.training.saving import fitted_from, saved_config, served_model
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train
from sparserec_np.training.updating import update

# Parameter -> its default: the settings of a training run, and the threads.
PARAMETERS: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(Config)} | {
    "threads": None
}
MODEL_ENDING = ".safetensors"

# Held while a ranker is made of a model: models work in arrays of their own meanwhile.
_making = ForkLock()


class SparseRec:
    """An estimator that trains, learns on, recommends and measures.

    The parameters are the settings of ``Config``, and ``threads``. ``get_params`` and
    ``set_params`` are as scikit-learn's, and ``sklearn.base.clone`` copies it. Parameters are
    checked by :meth:`fit`, which raises ConfigError. Interactions are given as
    :func:`~sparserec_np.data.conversion.as_interactions` takes them: as Interactions, the path of a
    file, a frame, pairs of ids, or a SciPy matrix or dense array of users x items. Frames and pairs
    have a row for each interaction, and can be searched and cross-validated over, with ``cv`` one
    of :mod:`~sparserec_np.data.folds`. A matrix has a row for each user, who is known by its number
    alone: folds of its rows are about other users, and are refused when they are measured.

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

    def __init__(self, **parameters: Any) -> None:
        for name in parameters:
            if name not in PARAMETERS:
                raise TypeError(f"SparseRec.__init__() got an unexpected keyword argument {name!r}")
        for name, default in PARAMETERS.items():
            setattr(self, name, parameters.get(name, default))

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

    def fit(self, X: Any, y: None = None, *, item_features: Any = None, **options: Any) -> SparseRec:
        """Trains anew on interactions; ``y`` is not used.

        Args:
            X: the interactions.
            y: nothing.
            item_features: attributes of items, as
                :func:`~sparserec_np.data.item_features.as_item_features` takes them: those without
                interactions get rows of them, which are recommended like all others.
            options: names of columns and the like, and ``sample_weight``, (n,) weights of rows that
                are pairs of ids; see :func:`~sparserec_np.data.conversion.as_interactions`. Without
                weights all interactions count alike.

        Raises:
            DataError: ``X`` is no interactions, or there is nothing to train on.
            ConfigError: parameters that are wrong, or go ill together.
        """
        log = as_interactions(X, **options)
        if item_features is None:
            return self._keep(train(log, self._config, threads=self._threads), log)
        features = as_item_features(item_features)
        fitted = train_with_features(log, features, self._config, threads=self._threads)
        return self._keep(fitted, with_items(log, features))

    def partial_fit(self, X: Any, y: None = None, **changes: Any) -> SparseRec:
        """Learns on with more interactions, within the budget.

        Where nothing was trained before, it trains anew. A model that stores no users is trained
        only where ``epochs`` are given: users are what they touched, new items are solved for.
        Where ``X`` holds nothing that is not known, a warning says so, and nothing changes.

        Args:
            X: more interactions, of users and items that are known or not; what is known is merged.
                A matrix must have at least as many rows and columns as there are users and items.
            y: nothing.
            changes: settings of this update; see :func:`~sparserec_np.training.updating.update`,
                which has defaults of its own; and names of columns, as for :meth:`fit`.

        Raises:
            DataError: ``X`` is no interactions, or a matrix of other users.
            ConfigError: a model that cannot learn on.
        """
        names = (*READER_OPTIONS, "sample_weight")
        options = {name: changes.pop(name) for name in names if name in changes}
        if not hasattr(self, "fitted_"):
            return self.fit(X, **options)
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
        return self._keep(update(former, new, threads=self._threads, **changes), whole)

    def recommend(self, users: Any, n: int = 10, filter_seen: bool = True) -> tuple[Array, Array]:
        """Returns the best items for one user, or for several.

        Args:
            users: an outside id, or (m,) of them.
            n: how many items.
            filter_seen: leave out the items that a user is known to have.

        Returns:
            Outside ids of items and float32 scores, (n,) for one user and (m, n) for several, best
            first. Where fewer items are left, a list goes on with the id -1 (or an empty text) and
            the score -inf.

        A user without interactions, as an empty row of a matrix is, gets the items that most users
        touched, all with the score 0. What a user is known to dislike is in no list.

        Raises:
            UnknownUserError: an id that is not known.
            ValueError: ``n`` below 1.
        """
        log = self._known
        rows = _rows(users, self._user_ids, UnknownUserError, "user")
        width = min(_expect_count(n), log.n_items)
        seen = log if filter_seen else self._nothing
        places, scores = self._ranker.rank(rows.astype(np.int32), width, seen)
        for nobody in np.flatnonzero(log.user_degrees[rows] == 0).tolist():
            places[nobody], scores[nobody] = self._most_touched(log.disliked_by(rows[nobody]), width)
        return _answer(_padded(places, scores, log.item_ids, n), users)

    def similar_items(self, items: Any, n: int = 10) -> tuple[Array, Array]:
        """Returns the items nearest to one, or to each of several, by the cosine of their rows.

        No item is near to itself, and none to one that nobody touched.

        Args and Returns are as in :meth:`recommend`, with items for users.

        Raises:
            UnknownItemError: an id that is not known.
            ValueError: ``n`` below 1.
            ArtifactError: a model whose stored rows are not what is multiplied.
        """
        log = self._known
        rows = _rows(items, self._item_ids, UnknownItemError, "item")
        places = np.full((len(rows), _expect_count(n)), -1, dtype=np.int64)
        scores = np.full((len(rows), n), -np.inf, dtype=np.float32)
        for place, row in enumerate(rows.tolist()):
            near = self._recommender.similar_items(log.item_ids[row].item(), n)
            places[place, : len(near.items)] = np.searchsorted(log.item_ids, near.items)
            scores[place, : len(near.items)] = near.scores
        return _answer(_padded(places, scores, log.item_ids, n), items)

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

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a run directory, or, if the name ends in ``.safetensors``, the model file alone.

        Raises:
            SparseRecError: the path is no place for it.
        """
        log = self._known
        if os.fspath(path).endswith(MODEL_ENDING):
            save_model(path, served_model(self.fitted_, log))
        else:
            save_run(path, self.fitted_, log)

    @classmethod
    def load(cls, path: str | os.PathLike[str], interactions: Any = None) -> SparseRec:
        """Reads a run directory or a model file, as :meth:`save` or ``sparserec train`` wrote it.

        Of a model file alone the settings of training are not known: they are at their defaults.

        Args:
            path: path of the directory or the file.
            interactions: the interactions it was trained on, where the model file was exported
                without. A matrix must have a row for each user and a column for each item.

        Raises:
            DataError: they are missing, or a matrix of other users.
            ArtifactError, ConfigError, OSError: it cannot be read, or is not sound.
        """
        known = None if interactions is None else as_interactions(interactions)
        if os.path.isfile(os.path.join(path, CONFIG)):
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
        for name in ("_made_ranker", "_made_recommender", "_user_ids", "_item_ids", "_nothing"):
            self.__dict__.pop(name, None)
        self.fitted_, self.interactions_ = fitted, log
        return self

    @property
    def _config(self) -> Config:
        return Config.from_dict(
            {name: value for name, value in self.get_params().items() if name != "threads"}
        )

    @property
    def _threads(self) -> int | None:
        threads: int | None = self.threads  # type: ignore[attr-defined]
        return threads

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
    def _user_ids(self) -> Ids:
        return Ids.from_array(self.interactions_.user_ids)

    @cached_property
    def _item_ids(self) -> Ids:
        return Ids.from_array(self.interactions_.item_ids)

    def _most_touched(self, left_out: Array, width: int) -> tuple[Array, Array]:
        """Lists the items that most users touched, without some: places and scores, (width,) each."""
        popular = self._recommender.popular_items
        some = popular[~np.isin(popular, left_out)] if len(left_out) else popular
        missing = max(0, width - len(some))
        places = np.append(some[: width - missing], np.full(missing, -1, dtype=np.int32))
        return places, np.where(places >= 0, np.float32(0), -np.inf)

    @cached_property
    def _nothing(self) -> Interactions:
        """No interactions, over the same users and items."""
        log = self.interactions_
        return log.subset(np.zeros(log.n_interactions, dtype=bool))


SparseRec.__init__.__signature__ = Signature(  # type: ignore[attr-defined]
    [
        Parameter("self", Parameter.POSITIONAL_OR_KEYWORD),
        *(Parameter(name, Parameter.KEYWORD_ONLY, default=default) for name, default in PARAMETERS.items()),
    ]
)


def _rows(wanted: Any, ids: Ids, error: type[KeyError], noun: str) -> Array:
    """Looks ids up: returns the places (m,) of ``wanted``, an id or (m,) of them, in ``ids``.

    12 and "12" are the same id.
    """
    listed: Iterable[Any] = [wanted] if np.ndim(wanted) == 0 else wanted
    rows = []
    for one in listed:
        row = ids.find(one)
        if row is None:
            hint = "" if isinstance(one, (str, int, np.integer)) else "; ids are whole numbers or texts"
            raise error(f"{noun} {one!r} is not in the model{hint}")
        rows.append(row)
    return np.array(rows, dtype=np.int64)


def _expect_count(n: int) -> int:
    """Returns ``n``, if it is a number of items.

    Raises ValueError for one below 1, TypeError for what is no whole number.
    """
    if operator.index(n) < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    return n


def _padded(places: Array, scores: Array, ids: Array, n: int) -> tuple[Array, npt.NDArray[np.float32]]:
    """Looks up the ids of places (m, up to n), and pads ids and scores to (m, n).

    A place of -1 is none.
    """
    missing: Any = "" if are_texts(ids) else -1
    found = np.full((len(places), n), missing, dtype=ids.dtype)
    reached = np.full((len(places), n), -np.inf, dtype=np.float32)
    width = places.shape[1]
    found[:, :width] = np.where(places >= 0, ids[np.maximum(places, 0)], missing)
    reached[:, :width] = scores
    return found, reached


def _answer(found: tuple[Array, Array], wanted: Any) -> tuple[Array, Array]:
    """Returns lists (m, n) for several who were asked for, and one (n,) for a single one."""
    return (found[0][0], found[1][0]) if np.ndim(wanted) == 0 else found
