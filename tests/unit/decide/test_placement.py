"""Whether a difference is sent now, as what, and at which price; and what free capital reaches for."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from core.instruments import Instrument
from core.types import OrderSide, Policy
from engine.domain.copy_types import Market, WorkingOrder
from engine.domain.funding import entries_fund
from engine.domain.placement import Cause, Placement, Verdict, limit_price, placement_decide
from engine.domain.plan_types import Purpose
from engine.domain.room import Room
from engine.domain.scoring import CandidateScore, Priority
from tests.unit.decide.scenario import WIDE, bounds

D = Decimal
ETH = Market(Instrument("ETH", "ETH", D(1), D("0.01"), price_places=2), mark=D(3000))


def decide(target: str, held: str, *working: WorkingOrder, **more: Any) -> Placement:
    values: dict[str, Any] = {
        "market": ETH,
        "cause": Cause.TRADER,
        "drift_threshold": D("0.10"),
        "auto_rebalance": False,
    }
    return placement_decide(target=D(target), held=D(held), working=working, **(values | more))


def buy(remaining: str) -> WorkingOrder:
    return WorkingOrder(1, OrderSide.BUY, D(remaining))


def sell(remaining: str) -> WorkingOrder:
    return WorkingOrder(2, OrderSide.SELL, D(remaining))


@pytest.mark.parametrize(
    ("target", "held", "quantity", "purpose"),
    [
        ("2", "0", "2", Purpose.ENTRY),
        ("2.019", "0", "2.01", Purpose.ENTRY),  # toward zero, to the step
        ("-2.019", "0", "-2.01", Purpose.ENTRY),
        ("3", "2", "1", Purpose.SCALE_IN),
        ("-3", "-2", "-1", Purpose.SCALE_IN),
        ("1.5", "2", "-0.5", Purpose.REDUCE),
        ("-1.5", "-2", "0.5", Purpose.REDUCE),
        ("0", "2", "-2", Purpose.CLOSE),
        ("0", "0.00123", "-0.00123", Purpose.CLOSE),  # whatever its size, and exactly all of it
        ("0", "-0.001", "0.001", Purpose.CLOSE),
    ],
)
def test_what_a_trader_caused_is_sent(target: str, held: str, quantity: str, purpose: Purpose) -> None:
    """SPEC, drift: a trader's own change is copied whenever the venue takes it; a full close always."""
    placement = decide(target, held)
    assert (placement.verdict, placement.quantity, placement.purpose) == (Verdict.PLACE, D(quantity), purpose)
    assert not placement.flips


@pytest.mark.parametrize(
    ("target", "held"), [("0.003", "0"), ("2.003", "2"), ("2.009", "2"), ("1.999", "2"), ("0.009", "0")]
)
def test_what_the_venue_would_not_take_is_not_sent(target: str, held: str) -> None:
    """ALL-4: 10 dollars is the minimum, 0.01 the step."""
    placement = decide(target, held)
    assert (placement.verdict, placement.quantity) == (Verdict.SMALL, D(0))


@pytest.mark.parametrize(
    ("target", "held", "verdict"),
    [
        ("5.005", "0", Verdict.PLACE),  # a buy's limit lies above the mark: 10.01
        ("-5.005", "0", Verdict.SMALL),  # 10.01 at the mark, 9.99999 at the limit of 1.998
        ("-5.01", "0", Verdict.PLACE),  # 10.00998 at the limit
        ("-7.005", "-2", Verdict.SMALL),
        ("2", "7.005", Verdict.PLACE),  # what only reduces is taken at any value
    ],
)
def test_the_minimum_is_reached_at_the_price_the_venue_tests(
    target: str, held: str, verdict: Verdict
) -> None:
    """ALL-4: a sell entry is valued at its limit, 10 bps below the mark."""
    market = Market(Instrument("COIN", "COIN", D(1), D("0.005"), price_places=6), mark=D(2))
    assert decide(target, held, market=market).verdict is verdict


@pytest.mark.parametrize("held", ["2", "0.001"])
def test_a_flip_closes_first(held: str) -> None:
    """SPEC, netting: reduce-only, the whole quantity, whatever it is worth."""
    placement = decide("-5", held)
    assert (placement.verdict, placement.quantity) == (Verdict.PLACE, -D(held))
    assert (placement.purpose, placement.flips) == (Purpose.CLOSE, True)


@pytest.mark.parametrize(
    ("cause", "auto", "held", "verdict"),
    [
        (Cause.DRIFT, False, "2.2", Verdict.WITHIN),  # exactly 10 %
        (Cause.DRIFT, True, "2.2", Verdict.WITHIN),
        (Cause.SCALE, False, "2.2", Verdict.WITHIN),
        (Cause.DRIFT, False, "2.21", Verdict.RECOMMEND),
        (Cause.DRIFT, True, "2.21", Verdict.PLACE),
        (Cause.SCALE, False, "2.21", Verdict.PLACE),
        (Cause.TRADER, False, "2.01", Verdict.PLACE),
        (Cause.DRIFT, False, "2", Verdict.ON_TARGET),
        (Cause.DRIFT, False, "0", Verdict.RECOMMEND),
    ],
)
def test_drift_nobody_caused_is_left_alone_or_recommended(
    cause: Cause, auto: bool, held: str, verdict: Verdict
) -> None:
    """ALL-4: the 10 % governs drift that no trader caused."""
    placement = decide("2", held, cause=cause, auto_rebalance=auto)
    assert placement.verdict is verdict
    assert bool(placement.quantity) == (verdict is Verdict.PLACE)


def test_a_target_of_zero_is_a_close_and_not_a_division() -> None:
    """SPEC, drift: also when nobody caused it."""
    assert decide("0", "2", cause=Cause.DRIFT).verdict is Verdict.PLACE


@pytest.mark.parametrize(
    ("target", "held", "working", "verdict", "cancels"),
    [
        ("2", "0", buy("2"), Verdict.WORKING, ()),  # leads there
        ("2.001", "0", buy("2"), Verdict.WORKING, ()),  # a crumb more
        ("3", "0", buy("2"), Verdict.WAIT, ()),  # more is wanted: after it
        ("1", "0", buy("2"), Verdict.CANCEL, (1,)),  # less is wanted
        ("0", "0", buy("2"), Verdict.CANCEL, (1,)),  # nothing is wanted
        ("-1", "0", buy("2"), Verdict.CANCEL, (1,)),  # the other side is wanted
        ("0", "2", sell("2"), Verdict.WORKING, ()),
        ("0", "2", sell("1"), Verdict.WAIT, ()),
        ("2", "2", sell("1"), Verdict.CANCEL, (2,)),
    ],
)
def test_one_order_works_at_a_time(
    target: str, held: str, working: WorkingOrder, verdict: Verdict, cancels: tuple[int, ...]
) -> None:
    """EXE-3: it is waited for, or cancelled where the target turned; nothing is placed beside it."""
    placement = decide(target, held, working)
    assert (placement.verdict, placement.quantity) == (verdict, D(0))
    assert tuple(order.order_id for order in placement.cancels) == cancels


@pytest.mark.parametrize(
    ("target", "held", "verdict"),
    [
        ("2", "2", Verdict.WAIT),  # its trader still wants all of it
        ("3", "2", Verdict.WAIT),
        ("1", "2", Verdict.WAIT),
        ("0", "2", Verdict.WORKING),  # the liquidation leads there
        ("2", "0", Verdict.WAIT),  # filled at the venue, and the news of its end is still to come
        ("-1", "2", Verdict.WAIT),
    ],
)
@pytest.mark.parametrize("entries_off", [False, True])
def test_a_liquidation_is_never_called_back(
    target: str, held: str, verdict: Verdict, entries_off: bool
) -> None:
    """EXE-8: whatever its traders want; nothing is placed beside it."""
    liquidating = replace(sell("2"), forced_close=True)
    placement = decide(target, held, liquidating, entries_off=entries_off)
    assert (placement.verdict, placement.cancels, placement.quantity) == (verdict, (), D(0))


def test_an_entry_beside_a_liquidation_is_called_back() -> None:
    """EXE-8: the liquidation goes on, the entry does not."""
    liquidating = replace(sell("2"), forced_close=True)
    placement = decide("2", "2", liquidating, buy("1"), entries_off=True)
    assert (placement.verdict, placement.cancels) == (Verdict.CANCEL, (buy("1"),))


def test_orders_that_open_are_called_back_when_nothing_may_be_opened() -> None:
    """RSK-2: a halt cancels entries under way, however small, and leaves exits working."""
    assert decide("2", "2", buy("0.001"), entries_off=True).verdict is Verdict.CANCEL
    assert decide("0", "2", sell("2"), entries_off=True).verdict is Verdict.WORKING


@pytest.mark.parametrize(
    ("side_up", "purpose", "price"),
    [
        (True, Purpose.ENTRY, "60065"),  # 60,005 + 10 bps = 60,065.005, inside
        (False, Purpose.ENTRY, "59945"),  # 59,944.995, inside
        (True, Purpose.CLOSE, "60606"),  # 60,605.05, outward: an exit fills
        (False, Purpose.REDUCE, "59404"),  # 59,404.95
    ],
)
def test_limits_are_ten_bps_for_entries_and_a_hundred_for_exits(
    side_up: bool, purpose: Purpose, price: str
) -> None:
    """SPEC, entries: limit at the touch ± 10 bps, never beyond; five significant digits."""
    market = Market(Instrument("BTC", "BTC", D(1), D("0.00001"), price_places=1), mark=D(60005))
    assert limit_price(side_up=side_up, purpose=purpose, market=market) == D(price)


def test_a_price_is_never_rounded_to_nothing() -> None:
    """EXE-5: a mark below the venue's smallest price."""
    market = Market(Instrument("DUST", "DUST", D(1), D(1), price_places=6), mark=D("0.0000004"))
    assert limit_price(side_up=False, purpose=Purpose.CLOSE, market=market) == D("0.000001")


def entry(quantity: str, purpose: Purpose = Purpose.ENTRY) -> Placement:
    return Placement(Verdict.PLACE, Cause.TRADER, quantity=D(quantity), wanted=D(quantity), purpose=purpose)


def scored(score: str) -> CandidateScore:
    return CandidateScore(D(score), Priority.MEDIUM, {}, "as told")


def plenty() -> Room:
    """Room for anything."""
    return Room(limits=WIDE, equity=D(1000000), policy=Policy.PERP)


def fund(
    free: str,
    *,
    rate: str = "1",
    scores: dict[str, str] | None = None,
    turns: int = 5,
    **placements: Placement,
) -> dict[str, Placement]:
    return entries_fund(
        placements=placements,
        scores={name: scored((scores or {}).get(name, "0.5")) for name in placements},
        markets=dict.fromkeys(placements, ETH),
        turns=turns,
        room=plenty(),
        free_capital=D(free),
        margin_rate=D(rate),
        fee_rate=D("0.0005"),
    )


def test_the_better_ranked_entry_is_funded_first() -> None:
    """EXE-2, CAP-1: what ranks higher gets the capital, however large the other is."""
    scores = {"GOOD": "0.61", "LARGE": "0.60"}
    funded = fund("7009.003", scores=scores, GOOD=entry("1"), LARGE=entry("2"))
    assert (funded["GOOD"].quantity, funded["GOOD"].capital_needed) == (D(1), D("3004.50150002"))
    assert (funded["LARGE"].quantity, funded["LARGE"].cut_short) == (D("1.33"), True)


def test_entries_beyond_their_turns_are_queued_in_rank_order() -> None:
    """EXE-1: two may go; the third best waits, though capital is there, and exits take no turn."""
    scores = {"A": "0.3", "B": "0.9", "C": "0.5"}
    placements = {name: entry("1") for name in scores} | {"EXIT": entry("-1", Purpose.CLOSE)}
    funded = fund("100000", scores=scores, turns=2, **placements)
    assert [(name, p.verdict, p.quantity) for name, p in funded.items()] == [
        ("A", Verdict.QUEUED, D(0)),
        ("B", Verdict.PLACE, D(1)),
        ("C", Verdict.PLACE, D(1)),
        ("EXIT", Verdict.PLACE, D(-1)),
    ]
    assert funded["A"].capital_needed == 0


def test_an_entry_without_capital_takes_no_turn() -> None:
    """EXE-1: the worse ranked one below it goes instead, if it fits."""
    big = replace(entry("1"), quantity=D("0.001"))  # below the venue's minimum
    funded = fund("100000", scores={"A": "0.9", "B": "0.1"}, turns=1, A=big, B=entry("1"))
    assert (funded["A"].verdict, funded["B"].verdict) == (Verdict.PLACE, Verdict.QUEUED)
    poor = fund("3", scores={"A": "0.9", "B": "0.1"}, turns=1, A=entry("1"), B=entry("1"))
    assert [p.verdict for p in poor.values()] == [Verdict.UNFUNDED, Verdict.UNFUNDED]


def test_the_largest_of_equal_rank_is_funded_first_and_the_next_is_cut() -> None:
    """CAP-1: 2 ETH cost 2 · 3,003 · 1.0005 = 6,009.003; 1,000 are left for 0.33 of the other."""
    funded = fund("7009.003", SMALL=entry("1"), LARGE=entry("2"))
    assert (funded["LARGE"].quantity, funded["LARGE"].capital_needed) == (D(2), D("6009.00300002"))
    assert (funded["SMALL"].quantity, funded["SMALL"].capital_needed) == (D("0.33"), D("991.48549502"))
    assert funded["SMALL"].cut_short
    assert not funded["LARGE"].cut_short


def test_margin_needs_less_and_shorts_are_counted_at_the_mark() -> None:
    """ALL-5: leverage 2; a sell may fill at the mark, above its limit."""
    funded = fund("100000", rate="0.5", A=entry("-2"))
    assert funded["A"].capital_needed == D("3003.00000002")  # 2 · 3,000 · 0.5005


@pytest.mark.parametrize("free", ["0", "-5", "9"])
def test_an_entry_without_capital_waits(free: str) -> None:
    """CAP-1: less than the venue's minimum is nothing."""
    funded = fund(free, A=entry("1"))
    assert (funded["A"].verdict, funded["A"].quantity, funded["A"].capital_needed) == (
        Verdict.UNFUNDED,
        D(0),
        D(0),
    )


def test_an_entry_cut_below_what_the_venue_takes_waits() -> None:
    """CAP-1, ALL-4: 10.02 pay for 5.005 units at the mark of 2, which a sell values at 9.99999."""
    coin = Market(Instrument("COIN", "COIN", D(1), D("0.005"), price_places=6), mark=D(2))
    for quantity, verdict in (("-100", Verdict.UNFUNDED), ("100", Verdict.PLACE)):
        funded = entries_fund(
            placements={"COIN": entry(quantity)},
            scores={"COIN": scored("0.5")},
            markets={"COIN": coin},
            turns=5,
            room=plenty(),
            free_capital=D("10.0201") if quantity == "-100" else D("10.03"),
            margin_rate=D(1),
            fee_rate=D("0.0005"),
        )
        assert funded["COIN"].verdict is verdict


def test_exits_need_no_capital() -> None:
    """RSK-2: nothing stands between a trader's exit and ours."""
    close = entry("-2", Purpose.CLOSE)
    assert fund("0", A=close)["A"] == close


def test_an_entry_gets_the_room_that_is_left_beside_what_is_held() -> None:
    """RSK-1: 5,000 of 9,000 are taken: the best ranked gets 3,000, the next what is left, the last waits."""
    room = Room(
        limits=bounds(D(1), 9, D("0.9")), equity=D(10000), policy=Policy.PERP, taken={"OLD": D(-5000)}
    )
    funded = entries_fund(
        placements={"BEST": entry("1"), "NEXT": entry("2"), "LAST": entry("1")},
        scores={"BEST": scored("0.9"), "NEXT": scored("0.6"), "LAST": scored("0.5")},
        markets=dict.fromkeys(("BEST", "NEXT", "LAST"), ETH),
        turns=5,
        room=room,
        free_capital=D(100000),
        margin_rate=D(1),
        fee_rate=D(0),
    )
    assert [funded[name].quantity for name in ("BEST", "NEXT", "LAST")] == [D(1), D("0.33"), D(0)]
    assert funded["BEST"].bound is None
    cut, none = funded["NEXT"], funded["LAST"]
    assert (cut.verdict, cut.cut_short, cut.wanted) == (Verdict.PLACE, True, D(2))
    assert (none.verdict, none.wanted) == (Verdict.UNFUNDED, D(1))
    assert cut.bound is not None
    assert none.bound is not None
    assert cut.bound.why == none.bound.why == "90 % gross exposure ($9,000.00)"
    assert sum(abs(taken) for taken in room.taken.values()) == D(8990)


def test_a_rest_too_small_for_an_order_is_not_waited_for() -> None:
    """ALL-4: 1,998 of 2,000 fit; the other 2 would never be an order."""
    coin = Market(Instrument("COIN", "COIN", D(1), D("0.005"), price_places=6), mark=D(2))
    funded = entries_fund(
        placements={"COIN": entry("1000")},
        scores={"COIN": scored("0.5")},
        markets={"COIN": coin},
        turns=5,
        room=Room(limits=bounds(D("0.1998"), 9, D(1)), equity=D(10000), policy=Policy.PERP),
        free_capital=D(100000),
        margin_rate=D(1),
        fee_rate=D(0),
    )["COIN"]
    assert (funded.quantity, funded.cut_short, funded.bound) == (D(999), False, None)
