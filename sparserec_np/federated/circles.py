"""Rounds in which simulated clients send whole vectors: under masks that cancel, with noise, or both.

Those whom a round asks make a circle (:mod:`~sparserec_np.federated.secure`): they send keys, deal
shares of their secrets, and answer. Who is silent has left after that, so that its masks have to be
taken away by what its neighbours reveal. Who is drawn, and what becomes of each, is drawn as in
plain rounds, and so the same clients are summed up.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError, PacketError
from sparserec_np.federated.packets import Answer, Question
from sparserec_np.federated.privacy import releases
from sparserec_np.federated.rounds import Hiding, Rounds
from sparserec_np.federated.secure import KEYS, Circle, MaskedSum, Masker, kind_of, pack_masked, vector_of

FEWEST = 10  # clients whose sum is opened; our choice
TRIES = 10  # circles of a pass that may stay unopened before their clients are let go; our choice
NUMBER = 4  # bytes of a client's number, beside what is sent to it or revealed of it


@dataclass
class Circles(Rounds):
    """A pass over simulated clients, whose answers are whole vectors.

    Raises:
        ConfigError: there are too few clients to hide among, or the answers cannot be noised.
    """

    fewest: ClassVar[int] = FEWEST

    def __post_init__(self) -> None:
        super().__post_init__()
        self._hiding, self._asked = (
            self.conditions.hiding or Hiding(masks=True),
            Question.decode(self.question),
        )
        self._sent: Counter[str] = Counter()  # bytes of all clients, by what they are
        self._unopened = 0
        if self._hiding.privacy is not None:
            self._hiding.privacy.expect(self._asked)
        if len(self.clients) < FEWEST:
            raise ConfigError(f"A sum hides a client among {FEWEST} or more, found {len(self.clients)}")

    def run(self, here: Array) -> list[bytes]:
        """Asks until enough have answered; see :class:`~sparserec_np.federated.rounds.Rounds`.

        Raises:
            ConfigError: no sum could be opened.
        """
        late = super().run(here)
        if not self.server.answers:
            raise ConfigError(
                f"No sum could be opened in the pass {self.server.pass_name}: of a circle too few have sent; ask more"
                " at once (--asked), or be content with fewer (--enough)"
            )
        return late

    def ask(self, cohort: list[int], fates: Array) -> tuple[list[int], list[bytes]]:
        """Asks some clients, who make a circle; see :class:`~sparserec_np.federated.rounds.Rounds`."""
        circle = Circle(len(cohort), self._rounds)
        fresh = [client for client in cohort if not self.down[client]]
        self.down[fresh] += len(self.question)
        maskers, keys = self._dealt(cohort, circle)
        total, conditions = None, self.conditions
        for place, (fate, again) in enumerate(fates.tolist()):
            if fate < conditions.silent:
                continue
            numbers = self._vector(cohort[place], len(cohort))
            if total is None:
                total = MaskedSum(circle, keys, len(numbers), numbers.dtype.type)
            packet = maskers[place].masked(numbers) if self._hiding.masks else numbers
            self._count("vectors", cohort[place], len(pack_masked(self._asked.tag, place, packet)))
            if fate < conditions.silent + conditions.late:
                self.server.refused["pass"] += 1  # its neighbours have said by then that it has left
                continue
            total.take(place, packet)
            if again < conditions.repeated:
                self._count("vectors", cohort[place], len(pack_masked(self._asked.tag, place, packet)))
                self._expect_refusal(total, place, packet)
        if total is None or not self._opened(cohort, maskers, total):
            self._unopened += 1
            return (cohort if self._unopened < TRIES else []), []
        return [client for place, client in enumerate(cohort) if place not in total.sent], []

    def record(self) -> dict[str, Any]:
        """Tells of the pass, and of what clients sent on average, by what it was."""
        heard = max(int((self.down > 0).sum()), 1)
        sent = {name: round(count / heard) for name, count in self._sent.items()}
        noised = {} if self._hiding.privacy is None else {"released": releases(self._asked)}
        return super().record() | {"up_mean": sent, "unopened": self._unopened, **noised}

    def _vector(self, client: int, together: int) -> Array:
        """Makes the vector of a client's answer."""
        asked, privacy = self._asked, self._hiding.privacy
        answer = Answer.decode(self.clients[client].answer(self.question), asked)
        if privacy is None:
            return vector_of(asked, answer).astype(kind_of(asked, len(self.clients)))
        vector = vector_of(asked, privacy.clipped(asked, answer))
        return privacy.noised(asked, vector, self._least(together), self.rng)

    def _least(self, together: int) -> int:
        """Counts the fewest of so many clients whose sum is opened.

        With noise these are as many as are to answer: fewer have too little of it. Else half of
        them is enough to hide among.
        """
        part = 0.5 if self._hiding.privacy is None else self.server.part
        return max(FEWEST, int(np.ceil(part * together)))

    def _dealt(self, cohort: list[int], circle: Circle) -> tuple[list[Masker], dict[int, bytes]]:
        """Has all of a circle send keys and deal shares; returns their maskers, and their keys."""
        if not self._hiding.masks:
            return [], {place: bytes(KEYS.size) for place in range(circle.clients)}
        maskers = [Masker(place, circle, self._least(circle.clients)) for place in range(circle.clients)]
        keys = {masker.number: masker.public_keys() for masker in maskers}
        letters = []
        for place, masker in enumerate(maskers):
            near = [keys[other] for other in circle.of(place)]
            self._count("keys", cohort[place], len(keys[place]))
            self.down[cohort[place]] += sum(map(len, near))
            letters.append(masker.deal(near))
        for place, written in enumerate(letters):
            for other, letter in written.items():
                self._count("letters", cohort[place], NUMBER + len(letter))
                self.down[cohort[other]] += NUMBER + len(letter)
                maskers[other].take_letter(place, letter)
        return maskers, keys

    def _opened(self, cohort: list[int], maskers: list[Masker], total: MaskedSum) -> bool:
        """Opens a sum, and hands it to the server; tells whether that could be done."""
        if len(total.sent) < self._least(len(cohort)):
            return False
        if not self._hiding.masks:
            self._take(total.total)
            return True
        revealed = {}
        for place in sorted(total.sent):
            revealed[place] = shares = maskers[place].reveal(total.sent)
            self.down[cohort[place]] += -(-len(cohort) // 8)  # a bit for each who has sent
            self._count("shares", cohort[place], sum(NUMBER + len(share) for share in shares.values()))
        try:
            self._take(total.opened(revealed))
        except PacketError as error:
            self.server.refused[error.reason] += 1
            return False
        return True

    def _take(self, vector: Array) -> None:
        privacy = self._hiding.privacy
        self.server.take_sum(vector if privacy is None else privacy.summed(self._asked, vector))

    def _expect_refusal(self, total: MaskedSum, place: int, packet: Array) -> None:
        """Has a packet come again, which is refused and counted."""
        try:
            total.take(place, packet)
        except PacketError as error:
            self.server.refused[error.reason] += 1

    def _count(self, name: str, client: int, size: int) -> None:
        self.up[client] += size
        self._sent[name] += size
