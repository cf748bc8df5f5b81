"""One-minute bars of Coinbase, 4 and 5 April 2018, as Lean publishes them (``data/README.md``).

A trade bar has prices and volume of what was traded. A quote bar has bid and ask: its prices are their
middle, and nobody recorded a volume.
"""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Final

from django.conf import settings

from markets.domain.candles import Bar

BAR_SPAN: Final = timedelta(minutes=1)
_FILES: Final = {
    "BTC": ("btcusd_20180404_quote.zip", "btcusd_20180405_trade.zip"),
    "ETH": ("ethusd_20180404_quote.zip", "ethusd_20180405_trade.zip"),
}
_TRADE_COLUMNS: Final = 6  # ms since midnight UTC; open, high, low, close; volume
_QUOTE_COLUMNS: Final = 11  # ms; open, high, low, close and size of the bid; the same of the ask


@lru_cache(maxsize=1)
def coinbase_bars_read() -> dict[str, list[Bar]]:
    """Return the recorded bars of each instrument, by rising time.

    :raises ValueError: a file has another shape than the two known ones
    """
    folder = Path(settings.BASE_DIR, "data", "coinbase_2018")
    return {
        code: [bar for name in names for bar in _bars_read(folder / name)] for code, names in _FILES.items()
    }


def _bars_read(path: Path) -> list[Bar]:
    day = datetime.strptime(path.name.split("_")[1], "%Y%m%d").replace(tzinfo=UTC)
    with zipfile.ZipFile(path) as archive:
        lines = archive.read(archive.namelist()[0]).decode("ascii").split()
    return [_bar(day, line.split(","), path.name) for line in lines]


def _bar(day: datetime, columns: list[str], name: str) -> Bar:
    opened_at = day + timedelta(milliseconds=int(columns[0]))
    if len(columns) == _TRADE_COLUMNS:
        first, high, low, last, volume = map(Decimal, columns[1:])
        return Bar(opened_at=opened_at, open=first, high=high, low=low, close=last, volume=volume)
    if len(columns) == _QUOTE_COLUMNS:
        bid, ask = map(Decimal, columns[1:5]), map(Decimal, columns[6:10])
        first, high, low, last = ((one + other) / 2 for one, other in zip(bid, ask, strict=True))
        return Bar(opened_at=opened_at, open=first, high=high, low=low, close=last, volume=None)
    msg = f"{name}: a bar has {len(columns)} columns, not {_TRADE_COLUMNS} or {_QUOTE_COLUMNS}"
    raise ValueError(msg)
