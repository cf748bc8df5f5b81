"""Which reads of a trader are not believed at once (SYN-5). Pure.

*Flawed* reads contain something that cannot be (NaN, a price of 0): no number of repetitions makes them true.
*Odd* reads could be true but are more often a venue's half answer: they count once a second, later read
says the same.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import Final

from core.decimals import ZERO
from core.instruments import is_code, underlying_of
from traders.domain.reads import TraderRead

CONFIRM_AFTER_S: Final = 5  # the second look comes this much later
ALL_GONE_FROM: Final = 3  # that many positions do not usually close within one sync
EQUITY_JUMP: Final = 10  # times up or down while no quantity changed


def read_flaw(*, read: TraderRead) -> str | None:
    """Return what in a read cannot be, or None."""
    if not read.equity.is_finite():
        return f"equity is {read.equity}"
    seen: set[str] = set()
    for position in read.positions:
        code = position.code
        if not is_code(code):
            return f"'{code[:40]}' is no instrument code"
        if code in seen:
            return f"{code} is listed twice"
        seen.add(code)
        if not position.quantity.is_finite() or position.quantity == 0:
            return f"quantity of {code} is {position.quantity}"
        if not position.entry_price.is_finite() or position.entry_price <= 0:
            return f"entry price of {code} is {position.entry_price}"
        mark = position.mark_price
        if mark is not None and (not mark.is_finite() or mark <= 0):
            return f"mark price of {code} is {mark}"
    return None


def read_oddity(
    *,
    previous: TraderRead | None,
    read: TraderRead,
    known_codes: AbstractSet[str] | None,
    authoritative: bool,
) -> str | None:
    """Return why a flawless read should be seen twice before it counts, or None.

    :param previous: the last read that counted, None for a trader never read before
    :param known_codes: codes of all known instruments, None where they are not known (then this is not
        judged); a coin is known by its underlying too, WBTC by BTC
    :param authoritative: the source is a record, whose states are exact: closings in it are never doubted
    """
    if read.equity < 0 or (read.equity == 0 and read.positions):
        return f"equity is {read.equity}"
    if authoritative:
        return None
    if read.doubt:
        return read.doubt
    if known_codes:
        held_before = previous.quantities() if previous else {}
        unknown = [
            code
            for code in read.quantities()
            if not known_codes & {code, underlying_of(code)[0]} and code not in held_before
        ]
        if unknown:
            return f"unknown instrument {', '.join(unknown[:3])}"
    if previous is None or previous.run != read.run:
        return None
    if not read.positions and len(previous.positions) >= ALL_GONE_FROM:
        return f"all {len(previous.positions)} positions are gone at once"
    if read.equity == 0 and previous.positions:
        return "equity and positions are gone at once"
    if (
        read.positions
        and _jumped(previous.equity, read.equity)
        and read.quantities() == previous.quantities()
    ):
        return f"equity went from {previous.equity:.2f} to {read.equity:.2f} while no quantity changed"
    return None


def read_confirms(*, quarantined: TraderRead, read: TraderRead, seconds_between: float) -> bool:
    """Tell whether a second read says what the quarantined one said, late enough to be another look.

    Quantities must be equal and equity of the same kind (within the jump that is odd by itself). A flawed
    read confirms nothing and is confirmed by nothing.
    """
    return (
        read_flaw(read=quarantined) is None
        and read_flaw(read=read) is None
        and seconds_between >= CONFIRM_AFTER_S - 1
        and quarantined.run == read.run
        and quarantined.quantities() == read.quantities()
        and (quarantined.equity > 0) == (read.equity > 0)
        and not _jumped(quarantined.equity, read.equity)
    )


def _jumped(before: Decimal, after: Decimal) -> bool:
    if before <= ZERO or after <= ZERO:
        return False
    return max(before, after) > EQUITY_JUMP * min(before, after)
