"""The errors this library raises on purpose.

Each carries one sentence that says what was expected, what was found and what to do. The command
line prints that sentence and nothing else; a program catches :class:`SparseRecError` for all of
them, or the kind it can act on. What is wrong with a model file is said by
:class:`sparserec_np.runtime.ArtifactError`, which stands on its own, as the runtime does.
"""

from __future__ import annotations


class SparseRecError(Exception):
    """Anything the library refuses with a sentence meant for a person.

    A sentence may quote what a file holds. So what cannot be printed is spelt out, as a terminal
    would obey it, and of a sentence that is too long to read the middle is left out.
    """

    def __init__(self, sentence: str = "") -> None:
        if not sentence.isprintable():
            sentence = "".join(one if one.isprintable() else repr(one)[1:-1] for one in sentence)
        super().__init__(sentence if len(sentence) <= 800 else f"{sentence[:500]} ... {sentence[-250:]}")


class DataError(SparseRecError, ValueError):
    """An interaction file, or the interactions in it, cannot be used as asked."""


class ConfigError(SparseRecError, ValueError):
    """A setting is unknown, out of range, or at odds with another."""


class PacketError(SparseRecError, ValueError):
    """A packet of federated learning is refused; no sum has changed.

    Args:
        reason: a word that such refusals are counted by: "length", "garbage", "pass", "items",
            "repeated", "overflow" or "few".
        sentence: what was expected and what was found.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
