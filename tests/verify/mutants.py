"""Deliberate faults: can the check of gradients fail?

Run as a program, with kernels as plain Python, it plants the faults of :data:`MUTANTS` one at a
time into a module's text, imports the library anew, checks it against finite differences, and
prints as JSON what caught each of them, or null; as ``mutants.py K N``, the K-th of N parts of
them, from 0. A fault in a plain twin is planted by putting the twin in the place of its compiled
kernel.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple

PACKAGE = Path(__file__).parents[2] / "sparserec_np"


class Mutant(NamedTuple):
    """A fault.

    Attributes:
        what: is wrong.
        file: of the package; one in ``kernels/reference`` is loaded in place of its compiled twin.
        old: text that occurs exactly once in the file.
        new: what it becomes.
    """

    what: str
    file: str
    old: str
    new: str


FILES = (
    "gradients",
    "slopes",
    "scoring",
    "updates",
    "sampling",
    "views",
    "propagation",
    "towers",
    "topology",
    "fism",
)
GRADIENTS, SLOPES, SCORING, UPDATES, SAMPLING, VIEWS, PROPAGATION, TOWERS, TOPOLOGY, FISM = (
    f"kernels/compiled/{name}.py" for name in FILES
)
PLAIN = "kernels/reference/"
# Of a fault in one of these files, the model that is checked first: the others are sound, and take
# their time.
OF_ONE_MODEL = {
    PROPAGATION: "lightgcn",
    "models/lightgcn.py": "lightgcn",
    TOWERS: "neumf",
    "models/towers.py": "neumf",
    FISM: "fism",
    "models/fism.py": "fism",
}
# What is planted together and is no fault: the compiled kernels as they are, and all plain twins in
# their place.
NOTHING = {
    "nothing": (Mutant("nothing", "data/table.py", "class SparseTable", "class SparseTable"),),
    "nothing, plain twins": tuple(
        Mutant(f"plain {name}", f"{PLAIN}{name}.py", "from __future__", "from __future__") for name in FILES
    ),
}
MUTANTS = (
    # ---- gradients
    Mutant(
        "a pair left out",
        GRADIENTS,
        "for m in range(starts[g], starts[g + 1]):",
        "for m in range(starts[g], starts[g + 1] - 1):",
    ),
    Mutant(
        "sign of a pair", GRADIENTS, "scratch[columns[k]] += slopes[m]", "scratch[columns[k]] -= slopes[m]"
    ),
    Mutant("stale row", GRADIENTS, "            scratch[:] = 0\n", ""),
    Mutant(
        "row overwritten",
        GRADIENTS,
        "gradient[k] += scratch[columns[k]]",
        "gradient[k] = scratch[columns[k]]",
    ),
    Mutant("explored row not summed", GRADIENTS, "own[c] += scratch[c]", "own[c] = scratch[c]"),
    Mutant(
        "explored row against a block left out",
        GRADIENTS,
        "own[c] += dot(block[c], slopes[g])",
        "own[c] += 0",
    ),
    Mutant(
        "place taken for column",
        GRADIENTS,
        "dot(block[columns[k]], slopes[g])",
        "dot(block[k - indptr[row]], slopes[g])",
    ),
    Mutant("stale block", GRADIENTS, "        own[:] = 0\n", ""),
    Mutant(
        "a group left out", GRADIENTS, "min(groups, (run + 1) * each)", "min(groups, (run + 1) * each - 1)"
    ),
    Mutant(
        "a part of the block left out", GRADIENTS, "for run in range(1, runs):", "for run in range(2, runs):"
    ),
    Mutant(
        "block overwrites",
        GRADIENTS,
        "gradient[k] += block[columns[k], s]",
        "gradient[k] = block[columns[k], s]",
    ),
    Mutant("explored negatives left out", GRADIENTS, "own[c] += block[c, s]", "own[c] += 0"),
    Mutant("missing L2", GRADIENTS, "gradient[k] += weights[g] *", "gradient[k] += 0 *"),
    Mutant(
        "L2 without its half", GRADIENTS, "gradient[k] += weights[g] *", "gradient[k] += 2 * weights[g] *"
    ),
    Mutant(
        "L2 to zero, not to the origin",
        GRADIENTS,
        "values[k] - origin[k] if len(origin) else values[k]",
        "values[k]",
    ),
    # ---- losses
    Mutant(
        "1 - sigmoid for -log sigmoid",
        SLOPES,
        "np.log1p(small) + max(-margin, positive.dtype.type(0))",
        "1 - 1 / (1 + np.exp(-margin))",
    ),
    Mutant("sign of the negative", SLOPES, "negative[m] = slope", "negative[m] = -slope"),
    Mutant(
        "sigmoid of the wrong side",
        SLOPES,
        "slope = small / (1 + small) if margin > 0 else",
        "slope = small / (1 + small) if margin < 0 else",
    ),
    Mutant("stale sums of slopes", SLOPES, "    sums[:] = 0\n", ""),
    Mutant("mean over all negatives, seen ones too", SLOPES, "one / max(valid, 1)", "one / size"),
    Mutant("scores left where slopes should be", SLOPES, "    scores[:] = sums\n", ""),
    Mutant("loss summed, not averaged", SLOPES, "losses[m] = total(odds) * share", "losses[m] = total(odds)"),
    Mutant("softmax without negatives", SLOPES, "if valid == 0:  # all of them are -inf", "if valid < 0:"),
    Mutant("softmax of the last pair alone", SLOPES, "weight += slope / mass", "weight = slope / mass"),
    Mutant(
        "softmax without its peak",
        SLOPES,
        "excess = np.log(mass) + peak - positive[m]",
        "excess = np.log(mass) - positive[m]",
    ),
    Mutant(
        "sign of BCE's negatives",
        SLOPES,
        "scores[s] = odds[s] / scores[s] * share * pairs",
        "scores[s] = -odds[s] / scores[s] * share * pairs",
    ),
    Mutant(
        "BSL's positives each for itself",
        SLOPES,
        "losses[m] = apart - own - np.log(near / pairs)",
        "losses[m] = apart - own - np.log(near)",
    ),
    Mutant(
        "BSL's slopes of one pair", SLOPES, "positive[m] *= -(pairs / near)", "positive[m] *= -(1 / near)"
    ),
    Mutant(
        "CCL's slopes of one pair", SLOPES, "slope = share * (starts[g + 1] - starts[g])", "slope = share"
    ),
    # ---- cosines and graphs
    Mutant(
        "cosine: the part along the row is left", VIEWS, "(gradient[k] - along * values[k])", "gradient[k]"
    ),
    Mutant("cosine: lengths are squares", VIEWS, "lengths[t] = np.sqrt(square)", "lengths[t] = square"),
    Mutant(
        "cosine: inactive entries not scaled",
        "models/views.py",
        "explored.sums[slots[here]] *= factors[:, None]",
        "pass",
    ),
    Mutant(
        "graph: a neighbour left out",
        PROPAGATION,
        "sum_wide_rows(block, neighbours, indptr[row], indptr[row + 1], factors[row], own)",
        "sum_wide_rows(block, neighbours, indptr[row], max(indptr[row], indptr[row + 1] - 1), factors[row], own)",
    ),
    Mutant(
        "graph: explored rows not pulled",
        PROPAGATION,
        "own[first + c] += factors[place] * line[c]",
        "own[first + c] += 0",
    ),
    Mutant(
        "graph: the last layer alone goes back",
        "models/lightgcn.py",
        "add_lines(places, given, there)",
        "add_lines(places[:0], given, there)",
    ),
    Mutant(
        "graph: a layer too few in the mean",
        "models/lightgcn.py",
        "local /= self.layers + 1\n        kernels.propagation.pull_rows",
        "local /= self.layers\n        kernels.propagation.pull_rows",
    ),
    Mutant(
        "layers: sign of the first layer's weights",
        TOWERS,
        "target[j] += value * step[j]",
        "target[j] -= value * step[j]",
    ),
    Mutant(
        "layers: bias left out",
        TOWERS,
        "sums[width * narrow + n] += total(own)",
        "sums[width * narrow + n] += 0",
    ),
    Mutant(
        "layers: all columns read",
        TOWERS,
        "            c = np.int64(columns[k]) - first\n            if c >= 0:\n                value",
        "            c = np.int64(columns[k]) % len(weights)\n            if c >= 0:\n                value",
    ),
    Mutant(
        "products: weights get no gradient",
        "models/towers.py",
        "by_weights += by_column",
        "by_weights += 0 * by_column",
    ),
    # ---- users who are what they touched
    Mutant(
        "made users: own item not left out",
        "models/fism.py",
        "positives -= made.own_shares * weights[made.positives] * own",
        "pass",
    ),
    Mutant(
        "made users: own item left out once in the gradient",
        FISM,
        "twice = -(slope + slope) * weights[row]",
        "twice = -slope * weights[row]",
    ),
    Mutant(
        "made users: weights' gradient without the own item",
        FISM,
        "weight_gradient[row] -= slope * square",
        "weight_gradient[row] -= 0",
    ),
    Mutant(
        "made users: own item left out of pairs' negatives",
        "models/fism.py",
        "np.zeros_like(slopes.negatives)",
        "slopes.negatives",
    ),
    Mutant(
        "made users: seen negatives counted",
        "models/fism.py",
        "self._pairs.mask(batch, negatives)",
        "self._pairs.mask(batch, negatives.copy())",
    ),
    Mutant(
        "made users: numbers' gradient for that of weights",
        "models/fism.py",
        "by_number[some] * self.base[some]",
        "by_number[some]",
    ),
    Mutant(
        "made users: explored items not reached",
        FISM,
        "own[c] += weight * scratch[c]",
        "own[c] += 0",
    ),
    Mutant(
        "made users: last item left out",
        FISM,
        "weight = shares[m] * weights[items[m]]",
        "weight = shares[m] * weights[items[m]] * (m + 1 < starts[t + 1])",
    ),
    Mutant(
        "made users: stale sums of items",
        FISM,
        "                    scratch[columns[k]] = 0\n",
        "                    pass\n",
    ),
    # ---- weights of interactions
    Mutant(
        "weights: slopes of positives without them",
        "learning/losses.py",
        "        scores.positives[:] *= weights\n",
        "",
    ),
    Mutant(
        "weights: slopes of pairs' negatives without them",
        "learning/losses.py",
        "scores.negatives[:] *= weights\n",
        "pass\n",
    ),
    Mutant(
        "weights: slopes of shared negatives without them",
        "learning/losses.py",
        "alone.negatives[:] *= weights[:, None]",
        "pass",
    ),
    Mutant(
        "weights: not beside their mean",
        "learning/batches.py",
        "weights[pairs] * scale",
        "weights[pairs]",
    ),
    Mutant(
        "weights: not in users' sums",
        FISM,
        "weight = shares[m] * weights[items[m]]",
        "weight = weights[items[m]]",
    ),
    Mutant(
        "weights: not in the gradient of users' sums",
        FISM,
        "scratch[columns[k]] += share * source[columns[k]]",
        "scratch[columns[k]] += source[columns[k]]",
    ),
    Mutant(
        "weights: not in the explored gradient of users' sums",
        FISM,
        "scratch[c] += share * source[c]",
        "scratch[c] += source[c]",
    ),
    Mutant(
        "weights: own items left out as if they weighed alike",
        "models/fism.py",
        "made.own_shares * slopes.positives",
        "1.0 * slopes.positives",
    ),
    Mutant(
        "made users: explored negatives not reached",
        FISM,
        "sums[slot, c] += dot(own, by_column[c])",
        "sums[slot, c] += 0",
    ),
    Mutant(
        "made users: explored positives not reached",
        FISM,
        "sums[slot, c] += slope * source[c]",
        "sums[slot, c] += 0",
    ),
    Mutant(
        "made users: block overwrites users",
        FISM,
        "out[first + u, c] += lines[",
        "out[first + u, c] = lines[",
    ),
    # ---- scores
    Mutant("stale scores", SCORING, "                scratch[columns[k]] = 0\n", "                pass\n"),
    Mutant(
        "row's last entry left out",
        SCORING,
        "first, last = indptr[rows[g]], indptr[rows[g] + 1]",
        "first, last = indptr[rows[g]], indptr[rows[g] + 1] - 1",
    ),
    Mutant("block not cleared", SCORING, "block[c, :] = 0", "pass"),
    Mutant("seen negatives count", SAMPLING, "scores[g, place] = -np.inf", "pass"),
    Mutant("seen negatives not taken off the count", SAMPLING, "count -= 1", "pass"),
    Mutant("stale counters", SAMPLING, "        counts[rows[g]] = 0\n", "        pass\n"),
    Mutant("stale places of negatives", "models/batch_items.py", "self._places[items] = -1", "pass"),
    Mutant(
        "negatives' L2 of one pair alone",
        "models/batch_items.py",
        "decay.negative * batch.size / len",
        "decay.negative / len",
    ),
    # ---- optimizers
    Mutant(
        "up the gradient", UPDATES, "values[k] -= rate * gradient[k]\n", "values[k] += rate * gradient[k]\n"
    ),
    Mutant("Adagrad forgets", UPDATES, "squares[k] += gradient[k]", "squares[k] = gradient[k]"),
    Mutant("Adam does not count steps", UPDATES, "steps[row] += 1", "steps[row] = 1"),
    Mutant(
        "Adam counts steps for all rows", UPDATES, "steps[row] += 1", "steps[row] = steps.max() + (t == 0)"
    ),
    Mutant("Adam without bias correction", UPDATES, "kind(corrections[known, 1])", "1.0"),
    Mutant(
        "Adam's second moment of first powers",
        UPDATES,
        "new2 * gradient[k] * gradient[k]",
        "new2 * gradient[k]",
    ),
    Mutant(
        "Adam leaves a row's last entry",
        UPDATES,
        "indptr[row], indptr[last + 1], keeps",
        "indptr[row], indptr[last + 1] - 1, keeps",
    ),
    Mutant(
        "first moment not begun anew",
        "learning/optimizers.py",
        "move(self.first, fresh.dtype.type(0))",
        "move(self.first, fresh)",
    ),
    Mutant(
        "second moment begun at zero",
        "learning/optimizers.py",
        "move(self.second, fresh)",
        "move(self.second, 0 * fresh)",
    ),
    Mutant(
        "Adagrad's squares begun at zero",
        "learning/optimizers.py",
        "row_means(self.squares)",
        "0 * row_means(self.squares)",
    ),
    # ---- topology
    Mutant(
        "optimizer state not carried", "training/state.py", "self.optimizer.carry(move, row_means)", "pass"
    ),
    Mutant(
        "regrown entries drawn elsewhere",
        "training/state.py",
        "origin.dtype.type(0)",
        "row_means(origin)",
    ),
    Mutant("the smallest sums grow", TOPOLOGY, "if bits > limit or", "if bits < limit or"),
    Mutant("active entries grow", TOPOLOGY, "        out[columns[k]] = 0\n", "        pass\n"),
    Mutant(
        "regrown along the gradient",
        "sparsity/topology.py",
        "return -np.sign(gradients)",
        "return np.sign(gradients)",
    ),
    Mutant("the largest pruned", TOPOLOGY, "goes = upper < high", "goes = upper > high"),
    Mutant("floor one too high", TOPOLOGY, "stay = min(floor,", "stay = min(floor + 1,"),
    Mutant(
        "fraction of all entries",
        "sparsity/topology.py",
        "int(fraction * within)",
        "int(fraction * table.nnz)",
    ),
    # ---- plain twins
    Mutant(
        "plain: explored rows subtracted",
        f"{PLAIN}gradients.py",
        "sums[slots[row]] += dense",
        "sums[slots[row]] -= dense",
    ),
    Mutant("plain: L2 to zero", f"{PLAIN}gradients.py", "if len(origin) else", "if False else"),
    Mutant(
        "plain: a part of the block left out",
        f"{PLAIN}gradients.py",
        "for part in range(1, len(partial)):",
        "for part in range(2, len(partial)):",
    ),
    Mutant(
        "plain: slopes averaged over pairs",
        f"{PLAIN}slopes.py",
        "negatives[g] = slope.sum(axis=0)",
        "negatives[g] = slope.mean(axis=0)",
    ),
    Mutant(
        "plain: softmax leaves the positive out",
        f"{PLAIN}slopes.py",
        "positive[pairs] = -mass / (own + mass)",
        "positive[pairs] = -mass / mass",
    ),
    Mutant(
        "plain: Adam's moments swapped",
        f"{PLAIN}updates.py",
        "first, second, steps = moments",
        "second, first, steps = moments",
    ),
    Mutant(
        "plain: growth on signed sums",
        f"{PLAIN}topology.py",
        "np.argsort(-np.abs(dense).ravel()",
        "np.argsort(-dense.ravel()",
    ),
    Mutant(
        "plain: pruned by signed values",
        f"{PLAIN}topology.py",
        "magnitudes = np.abs(values[places].astype(np.float32))",
        "magnitudes = values[places].astype(np.float32)",
    ),
    Mutant(
        "plain: regrown at the smallest pruned",
        f"{PLAIN}topology.py",
        "np.abs(values[gone]).max(initial=0)",
        "np.abs(values[gone]).min(initial=np.inf)",
    ),
    Mutant(
        "plain: own item left out once in the gradient",
        f"{PLAIN}fism.py",
        "-2 * slope * weights[row]",
        "-slope * weights[row]",
    ),
    Mutant("plain: scores of the next row", f"{PLAIN}scoring.py", "@ dense[row]", "@ dense[row - 1]"),
    Mutant("plain: seen negatives count", f"{PLAIN}sampling.py", "scores[g, seen] = -np.inf", "pass"),
)


class Planted(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Finds and loads one module, with a fault in it; no byte code is read or written."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        module = mutant.file.removesuffix(".py").replace("/", ".").replace(".reference.", ".compiled.")
        super().__init__(f"sparserec_np.{module}", str(PACKAGE / mutant.file))
        self.loaded = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def get_code(self, fullname: str) -> CodeType:
        source = Path(self.path).read_text(encoding="utf-8")
        assert source.count(self.mutant.old) == 1, f"{self.mutant.old!r} is not once in {self.mutant.file}"
        return compile(source.replace(self.mutant.old, self.mutant.new), self.path, "exec")

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        self.loaded = True


def caught_by(*mutants: Mutant) -> str | None:
    """The first quantity that the check finds wrong, or the error that ends it; None if there is nothing.

    Raises:
        AssertionError: a fault cannot be planted, or is not in what was checked.
    """
    planted = [Planted(mutant) for mutant in mutants]
    for each in planted:
        each.get_code(each.name)
    for name in [name for name in sys.modules if name.split(".")[0] == "sparserec_np"]:
        del sys.modules[name]
    sys.meta_path[:0] = planted
    try:
        found = _first_error(OF_ONE_MODEL.get(mutants[0].file))
    finally:
        del sys.meta_path[: len(planted)]
    assert all(each.loaded for each in planted), mutants
    return found


def _first_error(model: str | None) -> str | None:
    """One model and loss with every optimizer; then every loss, similarity and model with the first.

    Where there is a ``model`` to begin with, its cases come before all others.
    """
    from sparserec_np.verify import every_case, gradcheck

    small = {"seed": 1, "users": 9, "items": 11, "interactions": 40, "dim": 6}
    factors = every_case(model="mf", loss="bpr", negatives="pairs", similarity="dot", **small)
    others = [
        *every_case(model="mf", negatives="block", similarity="dot", **small),
        *every_case(model="mf", negatives="block", similarity="cosine", **small),
        *every_case(model="lightgcn", loss="bpr", negatives="block", similarity="dot", **small),
        *every_case(model="neumf", loss="bpr", negatives="block", **small),
        *every_case(model="fism", loss="bpr", **small),
    ]
    runs = [(factors, ("adam", "adagrad", "sgd")), (others, ("adam",))]
    if model:
        first, rest = ([case for case in others if (case.model == model) is own] for own in (True, False))
        runs = [(first, ("adam",)), runs[0], (rest, ("adam",))]
    try:
        for cases, optimizers in runs:
            for error in gradcheck(cases, "finite-differences", 4, optimizers, ["float64"]):
                if not error.passed:
                    return f"{error.model}, {error.similarity}, {error.loss}, {error.negatives}: {error.quantity}"
    except (ArithmeticError, IndexError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    part, parts = map(int, sys.argv[1:] or ("0", "1"))
    everything = [*NOTHING.items(), *((mutant.what, (mutant,)) for mutant in MUTANTS)]
    json.dump({what: caught_by(*mutants) for what, mutants in everything[part::parts]}, sys.stdout)
