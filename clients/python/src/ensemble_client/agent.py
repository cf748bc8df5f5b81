"""Post positions as an agent, so that a portfolio can follow it.

AgentClient(url, agent_id="…", secret="…").post(equity=Decimal(10000), positions=[Position("BTC", …)])
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from ensemble_client._wire import Wire
from ensemble_client.errors import TooManyRequests, Unavailable

logger = logging.getLogger("ensemble_client")
SCHEME: Final = "ENSEMBLE-PUSH-1"
ATTEMPTS: Final = 4
PAUSE_S: Final = 0.2  # before the second attempt; doubled before each further one
PAUSE_MAX_S: Final = 10.0
Amount = Decimal | int | str


@dataclass(frozen=True, slots=True)
class Position:
    """One open position.

    :param instrument: its code, such as "BTC"
    :param quantity: signed, in units; negative is short
    :param entry_price: average entry, dollars for a unit
    :param mark_price: what a unit is worth now, where the agent knows
    :param opened_at: when it was opened, where the agent knows
    """

    instrument: str
    quantity: Amount
    entry_price: Amount
    mark_price: Amount | None = None
    opened_at: datetime | None = None

    def wire(self) -> dict[str, str]:
        """Return it as it travels."""
        sent = {
            "instrument": self.instrument,
            "quantity": _text(self.quantity),
            "entry_price": _text(self.entry_price),
        }
        if self.mark_price is not None:
            sent["mark_price"] = _text(self.mark_price)
        if self.opened_at is not None:
            sent["opened_at"] = _moment(self.opened_at)
        return sent


@dataclass(frozen=True, slots=True)
class Receipt:
    """The server has the post.

    :param repeated: it had it already, from an attempt whose answer was lost
    """

    sequence: int
    repeated: bool


class AgentClient:
    """Posts what one agent holds. One at a time posts for an agent; it is not to be shared by threads.

    :param base_url: such as "https://ensemble.example.com"
    :param agent_id: as shown when the agent was registered
    :param secret: likewise; shown once
    :param timeout_s: how long one answer may take
    """

    def __init__(self, base_url: str, *, agent_id: UUID | str, secret: str, timeout_s: float = 10.0) -> None:
        self._wire = Wire(base_url, timeout_s=timeout_s)
        self._path = f"agents/{UUID(str(agent_id))}/positions/"
        self._secret = secret
        self._sequence = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"  # without the secret

    def post(
        self,
        *,
        equity: Amount,
        positions: Sequence[Position],
        at: datetime | None = None,
        sequence: int | None = None,
    ) -> Receipt:
        """Say what the agent holds now: all of it, since what is left out counts as closed.

        A post that gets no answer is sent again, up to four times, with the same sequence and the same
        body, so that it counts once. Post at least as often as the agent promised, also when nothing changed.

        :param at: when it was so; now, where it is left out; later in every post
        :param sequence: higher in every post; milliseconds of the clock, where it is left out
        :raises InvalidRequest: a field makes no sense, see ``fields``
        :raises NotSignedIn: unknown agent, wrong secret, or a clock that is wrong by more than 30 s
        :raises Conflict: another post has this sequence or a higher one
        :raises TooManyRequests: still too fast after the last attempt
        :raises Unavailable: no answer to the last attempt either; the post may have been taken
        """
        self._sequence = max(self._sequence + 1, int(time.time() * 1000)) if sequence is None else sequence
        body = {
            "at": _moment(at or datetime.now(tz=UTC)),
            "sequence": self._sequence,
            "equity": _text(equity),
            "positions": [position.wire() for position in positions],
        }
        return self._sent(json.dumps(body, separators=(",", ":")).encode())

    def _sent(self, body: bytes) -> Receipt:
        pause_s = PAUSE_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._wire.ask("POST", self._path, headers=self._signed(body), body=body)
                return Receipt(sequence=int(answer["sequence"]), repeated=bool(answer["repeated"]))
            except (Unavailable, TooManyRequests) as error:
                if attempt == ATTEMPTS:
                    raise
                wait_s = min(error.retry_after_s or pause_s, PAUSE_MAX_S)
                logger.info("attempt %s of %s failed, again in %.1f s: %s", attempt, ATTEMPTS, wait_s, error)
                time.sleep(wait_s)
                pause_s *= 2
        raise AssertionError

    def _signed(self, body: bytes) -> dict[str, str]:
        """Return the headers that prove who posts, for this moment."""
        timestamp, sequence = str(int(time.time())), str(self._sequence)
        digest = hashlib.sha256(body).hexdigest()
        text = "\n".join((SCHEME, timestamp, sequence, "POST", self._wire.path_of(self._path), digest))
        return {
            "X-Ensemble-Timestamp": timestamp,
            "X-Ensemble-Sequence": sequence,
            "X-Ensemble-Signature": hmac.new(
                self._secret.encode(), text.encode(), hashlib.sha256
            ).hexdigest(),
        }


def _text(amount: Any) -> str:
    """Return an amount as text.

    :raises TypeError: it is a float, which is not exact, or nothing that counts
    """
    if isinstance(amount, bool) or not isinstance(amount, Decimal | int | str):
        msg = f"amounts are Decimal, int or text, got {amount!r}"
        raise TypeError(msg)
    return f"{Decimal(amount):f}"


def _moment(at: datetime) -> str:
    """Return a time as text.

    :raises ValueError: it names no zone
    """
    if at.tzinfo is None:
        msg = f"{at} names no zone; use datetime.now(tz=UTC)"
        raise ValueError(msg)
    return at.astimezone(UTC).isoformat()
