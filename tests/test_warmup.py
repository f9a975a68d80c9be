"""What is warmed up is what a real run calls."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sparserec_np.data.formats import read_interactions, write_interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.data.synthetic import generate
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.kernels import compiled as kernel_files
from sparserec_np.kernels.compiling import progress
from sparserec_np.serving.model_file import load_model
from sparserec_np.starts.teacher import Teacher
from sparserec_np.training.asked import free_to_choose
from sparserec_np.training.choosing import choose
from sparserec_np.training.distillation import FromTeacher
from sparserec_np.training.run_directory import save_run
from sparserec_np.training.saving import restore
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train
from sparserec_np.warmup import called_kernels, compile_backwards, warm_up
from tests.makers.small import needs_compiler

pytestmark = needs_compiler


def signatures() -> dict[str, list[object]]:
    return {f"{k.py_func.__module__}.{k.__name__}": list(k.signatures) for k in called_kernels()}


def test_a_real_run_calls_nothing_that_is_not_warm(tmp_path) -> None:
    done = warm_up()
    assert done.kernels == len(signatures()) > 10
    assert 0 <= done.compiled <= done.kernels
    assert list(done.costs.values()) == sorted(done.costs.values(), reverse=True)
    ready = signatures()
    kept, test = split_random(generate(1000, 750, 12_000, seed=1), 0.2, np.random.default_rng(1))
    write_interactions(kept, tmp_path / "kept.safetensors")
    kept = read_interactions(tmp_path / "kept.safetensors")  # a mapped file needs no other kernels
    save_run(tmp_path / "teacher", train(kept, Config(epochs=5, learning_rate=0.01)), kept)
    teacher = restore(load_model(tmp_path / "teacher"))
    evaluate(teacher.ranker(), test, kept, ks=(5, 20))
    train(
        kept, Config(epochs=2, validation=0), source=FromTeacher(Teacher(teacher.factors(), teacher.dim, 1.0))
    )
    assert signatures() == ready


@pytest.mark.parametrize(("width", "entries"), [({}, 9_000), ({"dim": 512}, 20_000), ({"dim": 512}, 700)])
def test_nor_does_a_training_that_chooses_for_itself(width: dict[str, int], entries: int) -> None:
    """Whatever it finds best, in few columns and in many, with many entries and with few."""
    warm_up()
    ready = signatures()
    kept, test = split_random(generate(1000, 750, 12_000, seed=1), 0.2, np.random.default_rng(1))
    given = {"entries": entries, **({"model": "fism", **width} if width else {})}
    config = Config(**given)
    choice = choose(kept, config, free_to_choose(given, config, kept))
    evaluate(train(kept, replace(choice.config, epochs=2)), test, kept)
    assert signatures() == ready


def test_what_is_compiled_backwards_is_what_a_first_training_calls() -> None:
    config = Config(start="spectral", epochs=2, learning_rate=0.01, batch_size=64)
    train(generate(90, 70, 1500, 5), config)
    ready, compiled = signatures(), len(progress.compiled)
    compile_backwards()
    assert signatures() == ready and len(progress.compiled) == compiled


@pytest.mark.slow
def test_everything_is_every_kernel_that_python_calls() -> None:
    warm_up(everything=True)
    ready = {name.split(".compiled.")[1] for name in signatures()}
    public = {
        f"{file.stem}.{node.name}"
        for file in Path(kernel_files.__path__[0]).glob("*.py")
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(by, ast.Name) and by.id in ("kernel", "parallel") for by in node.decorator_list)
    }
    assert public - {name.removesuffix("_alone") for name in ready} == set()
    assert len(public) > 40

    ready = signatures()
    kept, test = split_random(generate(1000, 750, 12_000, seed=1), 0.2, np.random.default_rng(1))
    evaluate(train(kept, Config(model="itemknn")).model.ranker(), test, kept)
    assert signatures() == ready
