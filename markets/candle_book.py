"""The open candles of one world, moved on by every tick and taken out to be stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from markets.domain.candle_building import CandleRecord, candle_moved, candle_opened

CodeRecord = tuple[str, CandleRecord]


class CandleBook:
    """Candles as they are built. A price that is in one already, by its world time, is not counted again.

    What was taken out is given out again until :meth:`stored` says that it is kept.
    """

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._open: dict[str, CandleRecord] = {}
        self._known_us: dict[str, int] = {}
        self._closed: list[CodeRecord] = []
        self._moved: set[str] = set()

    def resume(self, *, records: Mapping[str, CandleRecord]) -> None:
        """Go on from the newest stored candle of each instrument.

        A closed one is never moved again: only prices after its end count.
        """
        for code, record in records.items():
            if record.closed:
                self._known_us[code] = record.ends_us - 1
            else:
                self._open[code] = record
                self._known_us[code] = record.last_us

    def add(self, *, code: str, us: int, price: Decimal) -> None:
        """Put a price into its candle; what it proves to be over is closed."""
        if us <= self._known_us.get(code, -1):
            return
        self._known_us[code] = us
        record = self._open.get(code)
        if record is not None and us >= record.ends_us:
            self._close(code, record)
            record = None
        opened = candle_opened(us=us, price=price) if record is None else None
        self._open[code] = opened or candle_moved(self._open[code], us=us, price=price)
        self._moved.add(code)

    def time_reached(self, us: int) -> None:
        """Close the candles that are over at ``us``; every price until then was added before."""
        for code, record in list(self._open.items()):
            if record.ends_us <= us:
                self._close(code, record)
                self._known_us[code] = max(self._known_us[code], record.ends_us - 1)

    def closed(self) -> Sequence[CodeRecord]:
        """Return the closed candles that are not stored yet."""
        return tuple(self._closed)

    def moved(self) -> Sequence[CodeRecord]:
        """Return the open candles that moved since they were stored."""
        return tuple((code, self._open[code]) for code in sorted(self._moved))

    def stored(self, records: Sequence[CodeRecord]) -> None:
        """Forget what is kept now: closed candles for good, open ones until they move again."""
        kept = set(records)
        self._closed = [pair for pair in self._closed if pair not in kept]
        self._moved -= {code for code, record in records if self._open.get(code) == record}

    def _close(self, code: str, record: CandleRecord) -> None:
        self._closed.append((code, replace(record, closed=True)))
        self._moved.discard(code)
        del self._open[code]
