"""Parts made one ahead come in their order, and a failure reaches whoever waits for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from sparserec_np.machine.ahead import one_ahead
from sparserec_np.machine.threads import shared_threads


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_all_parts_come_in_their_order(threads: int, count: int) -> None:
    assert list(one_ahead(iter(range(count)), threads)) == list(range(count))


def test_the_next_part_is_made_while_the_last_is_used() -> None:
    begun = [threading.Event() for _ in range(3)]

    def parts() -> Iterator[int]:
        for number, event in enumerate(begun):
            event.set()
            yield number

    for number in one_ahead(parts(), threads=2):
        if number + 1 < len(begun):
            assert begun[number + 1].wait(60)


def test_no_more_than_one_part_is_made_ahead() -> None:
    made = []

    def parts() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            yield number

    for number in one_ahead(parts(), threads=2):
        assert len(made) <= number + 2


def test_one_thread_makes_each_part_when_it_is_asked_for() -> None:
    threads = []

    def parts() -> Iterator[int]:
        for number in range(3):
            threads.append(threading.get_ident())
            yield number

    for number in one_ahead(parts(), threads=1):
        assert len(threads) == number + 1
    assert set(threads) == {threading.get_ident()}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_is_raised_after_what_came_before_it(threads: int) -> None:
    def parts() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    coming = one_ahead(parts(), threads)
    assert next(coming) == 1
    with pytest.raises(ValueError, match="no more"):
        next(coming)


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_where_no_thread_can_be_started_parts_are_made_here(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise error

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert list(one_ahead(iter("abc"), threads=2)) == ["a", "b", "c"]


def test_kernels_that_run_ahead_keep_to_one_thread() -> None:
    before = shared_threads()
    assert set(one_ahead((shared_threads() for _ in range(3)), threads=2)) == {1}
    assert shared_threads() == before


def test_nothing_is_made_once_the_caller_has_ended() -> None:
    made = []

    def parts() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    before = threading.enumerate()
    coming = one_ahead(parts(), threads=2)
    assert next(coming) == 0
    coming.close()  # type: ignore[attr-defined]
    assert len(made) <= 2
    assert [thread for thread in threading.enumerate() if thread not in before] == []
