"""Which reads are not believed at once: SYN-5."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from traders.domain.quarantine import read_confirms, read_flaw, read_oddity
from traders.domain.reads import TraderPosition, TraderRead

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def read(*codes: str, equity: str = "1000", run: int = 1) -> TraderRead:
    """Make a read with one unit of each code."""
    positions = tuple(TraderPosition(code, Decimal(1), Decimal(10)) for code in codes)
    return TraderRead(equity=Decimal(equity), positions=positions, world_at=NOW, run=run)


def odd(before: TraderRead | None, after: TraderRead, *, authoritative: bool = False) -> str | None:
    """Judge a read against the one before it."""
    return read_oddity(previous=before, read=after, known_codes=None, authoritative=authoritative)


BTC = TraderPosition("BTC", Decimal(1), Decimal(10))


@pytest.mark.parametrize(
    ("position", "flaw"),
    [
        (BTC, None),
        (replace(BTC, code="xyz:TSLA"), None),
        (replace(BTC, code="kBONK", quantity=Decimal(-5)), None),
        (replace(BTC, quantity=Decimal("Infinity")), "quantity of BTC is Infinity"),
        (replace(BTC, quantity=Decimal(0)), "quantity of BTC is 0"),
        (replace(BTC, entry_price=Decimal(-1)), "entry price of BTC is -1"),
        (replace(BTC, mark_price=Decimal("NaN")), "mark price of BTC is NaN"),
        (replace(BTC, mark_price=Decimal(0)), "mark price of BTC is 0"),
        (replace(BTC, code=""), "'' is no instrument code"),
        (replace(BTC, code="BTC\n"), "'BTC\n' is no instrument code"),
    ],
)
def test_flaws(position: TraderPosition, flaw: str | None) -> None:
    """SYN-5: what cannot be."""
    assert read_flaw(read=replace(read(), positions=(position,))) == flaw


def test_a_code_listed_twice_is_a_flaw() -> None:
    """SYN-5: two positions in one code are no state."""
    assert read_flaw(read=read("BTC", "BTC")) == "BTC is listed twice"
    assert read_flaw(read=read(equity="NaN")) == "equity is NaN"


def test_all_gone_at_once_is_odd_from_three_positions_on() -> None:
    """SYN-5: empty after ten, not after one or two; never from an exact record."""
    ten = read(*(f"C{n}" for n in range(10)))
    assert odd(ten, read()) == "all 10 positions are gone at once"
    assert odd(read("A1", "B1", "C1"), read()) == "all 3 positions are gone at once"
    assert odd(read("A1", "B1"), read()) is None
    assert odd(read("A1"), read(equity="0")) == "equity and positions are gone at once"
    assert odd(ten, read("C1")) is None
    assert odd(ten, read(), authoritative=True) is None
    assert odd(ten, read(run=2)) is None  # another run starts empty
    assert odd(None, read()) is None


@pytest.mark.parametrize(
    ("before", "after", "doubted"),
    [
        ("1000", "-1", True),
        ("1000", "0", True),
        ("1000", "10001", True),
        ("1000", "99", True),
        ("1000", "9999", False),
    ],
)
def test_equity_that_jumps_is_odd(before: str, after: str, doubted: bool) -> None:
    """SYN-5: negative equity, none beside positions, or ten times more or less while no quantity changed."""
    assert (odd(read("BTC", equity=before), read("BTC", equity=after)) is not None) is doubted


def test_equity_may_jump_with_quantities() -> None:
    """A deposit and new positions come together."""
    assert odd(read("BTC", equity="100"), read("BTC", "ETH", equity="100000")) is None


def test_negative_equity_is_odd_even_in_a_record() -> None:
    """SYN-5: no source is believed at once on that."""
    assert odd(None, read(equity="-5"), authoritative=True) == "equity is -5"


def test_unknown_instruments_are_odd_once() -> None:
    """SYN-5: unknown and not held before; without a list of instruments this is not judged."""
    judge = {"known_codes": frozenset({"BTC"}), "authoritative": False}
    assert read_oddity(previous=read("BTC"), read=read("BTC", "NEW"), **judge) == "unknown instrument NEW"
    assert read_oddity(previous=read("BTC", "NEW"), read=read("BTC", "NEW"), **judge) is None
    assert read_oddity(previous=None, read=read("NEW"), known_codes=None, authoritative=False) is None


def test_only_a_later_look_that_says_the_same_confirms() -> None:
    """SYN-5: same quantities, same kind of equity, about 5 s later, in the same run."""
    first = read("BTC", equity="-5")
    assert read_confirms(quarantined=first, read=read("BTC", equity="-6"), seconds_between=5)
    assert not read_confirms(quarantined=first, read=read("BTC", equity="-6"), seconds_between=0)
    assert not read_confirms(quarantined=first, read=read("ETH", equity="-5"), seconds_between=5)
    assert not read_confirms(quarantined=first, read=read("BTC", equity="5"), seconds_between=5)
    assert not read_confirms(quarantined=first, read=read("BTC", equity="-5", run=2), seconds_between=5)
    thousand = read("BTC", equity="1000")
    assert not read_confirms(quarantined=thousand, read=read("BTC", equity="90"), seconds_between=5)
