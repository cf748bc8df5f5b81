"""Sentences for decisions: what happened and why, with the numbers, for the person who reads them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from allocation.domain.drift import target_drift
from core.decimals import ONE, ZERO, dollars, plain
from core.types import OrderSide
from engine.domain.legs import Leg
from engine.domain.nets import Net
from engine.domain.placement import Placement, limit_price
from engine.domain.scoring import CandidateScore

MAX_REASON: Final = 400
MAX_TEXT: Final = 200
MAX_ORDER_REASON: Final = 300
_NAMED: Final = 3


def percent(fraction: Decimal) -> str:
    """Write a fraction as a percentage with one decimal: 0.142 is "14.2 %"."""
    return f"{fraction * 100:.1f} %"


def names(legs: Sequence[Leg]) -> str:
    """Name the traders: "A", "A and B", "A, B, C and 2 others"."""
    return join(list(dict.fromkeys(leg.name for leg in legs)))


def join(words: Sequence[str]) -> str:
    """Join words as in a sentence, at most three of them by name."""
    if len(words) > _NAMED + 1:
        words = [*words[:_NAMED], f"{len(words) - _NAMED} others"]
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def clip(text: str, length: int) -> str:
    """Cut a text that is too long, and show that it was cut."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def size(value: Decimal) -> str:
    """Write a quantity with at most 8 decimals."""
    return plain(round(value, 8))


def order_text(*, net: Net, placement: Placement) -> str:
    """Say what is ordered: "BUY 0.025 BTC at up to 60,060"."""
    if net.market is None or placement.purpose is None or placement.quantity == 0:
        return ""
    up = placement.quantity > 0
    limit = limit_price(side_up=up, purpose=placement.purpose, market=net.market)
    side = OrderSide.BUY if up else OrderSide.SELL
    bound = "at up to" if up else "at no less than"
    return f"{side} {size(abs(placement.quantity))} {net.market.instrument.code} {bound} {plain(limit)}"


def copied(legs: Sequence[Leg], net: Net, placement: Placement, crossed: Decimal) -> str:
    """Say that a change was carried over, by an order, by an internal transfer, or both."""
    parts = [text for text in (order_text(net=net, placement=placement), _crossed_text(net, crossed)) if text]
    done = "; ".join(parts) or "the position is where it should be"
    scale = min((leg.scale for leg in legs), default=ONE)
    note = f" Its book is scaled to its share of capital (x {scale:.3f})." if scale < ONE else ""
    return f"{names(legs)}: {done}.{note}"


def merged(legs: Sequence[Leg], net: Net, placement: Placement, crossed: Decimal) -> str:
    """Say how several wishes became one."""
    wishes = join([f"{leg.name} {dollars(leg.wish)}" for leg in net.legs if leg.wish])
    goal = net.target * net.market.mark if net.market else ZERO
    return f"Merged into one target of {dollars(goal)}: {wishes}. {copied(legs, net, placement, crossed)}"


def overruled(legs: Sequence[Leg], net: Net) -> str:
    """Say whose wish counts instead."""
    resolution = net.resolution
    if resolution is None or resolution.winner is None:
        return f"{names(legs)} does not count here."
    winner = next(leg for leg in net.legs if leg.follow_id == resolution.winner.follow_id)
    wished = join([f"{leg.name}'s {dollars(leg.wish)}" for leg in legs])
    counts = f"{winner.name}'s {dollars(winner.wish)}"
    return f"The rule “{resolution.rule}” counts {counts} alone; {wished} is left out."


def spot_short(legs: Sequence[Leg], net: Net) -> str:
    """Say why a short is not held."""
    wished = join([f"{leg.name} wanted {dollars(leg.wish)}" for leg in legs])
    if net.resolution is not None and net.resolution.net > 0:
        return f"A spot portfolio holds no shorts: {wished}, which reduces what the others hold."
    return f"A spot portfolio holds no shorts: {wished}."


def capped(legs: Sequence[Leg], net: Net, why: str) -> str:
    """Say which limit binds and what was wanted."""
    return f"Capped at {why}: {names(legs)} wanted {dollars(abs(net.wanted))}."


def cut_short(legs: Sequence[Leg], net: Net, placement: Placement) -> str:
    """Say that free capital, or the room beside what is held, lets an entry through in part or not at all."""
    mark = net.market.mark if net.market else ZERO
    wanted = dollars(abs(placement.wanted) * mark)
    by = f"{placement.bound.why}, beside what is held" if placement.bound else "free capital"
    if placement.quantity == 0:
        waits = f"room under {by}" if placement.bound else by
        return f"Waiting for {waits}: {names(legs)} wants {wanted} more of {net.underlying}."
    sent = dollars(abs(placement.quantity) * mark)
    return f"Capped at {sent} by {by}: {names(legs)} wanted {wanted}; the rest follows when it is there."


def queued(legs: Sequence[Leg], net: Net, placement: Placement, rank: CandidateScore | None) -> str:
    """Say that as many entries as may work at once do, and how this one ranks."""
    mark = net.market.mark if net.market else ZERO
    score = f" It ranks with {rank.score} ({rank.text})." if rank else ""
    return (
        f"{names(legs)} wants {dollars(abs(placement.wanted) * mark)} more of {net.underlying}: as many "
        f"entries as may work at once do; it goes when one of them ends.{score}"
    )


def undecided(legs: Sequence[Leg], net: Net, placement: Placement) -> str:
    """Say that a conflict is not approved, and what is done nevertheless."""
    wishes = join([f"{leg.name} {dollars(leg.wish)}" for leg in net.legs if leg.wish])
    done = order_text(net=net, placement=placement)
    note = f" Every rule takes off at least this: {done}." if done else ""
    why = net.hold.why if net.hold else ""
    return f"{names(legs)} changed {net.underlying}, and {why}: {wishes}. The old target stands.{note}"


def chased(legs: Sequence[Leg], net: Net, placement: Placement) -> str:
    """Say how far the price has run past the traders' own entries, and what is done nevertheless."""
    price = net.market.mark / net.market.instrument.multiplier if net.market else ZERO
    runs = join(
        [
            f"{percent(net.chased[leg.follow_id])} past {leg.name}'s entry of {size(leg.entry_price or ZERO)}"
            for leg in legs
        ]
    )
    done = order_text(net=net, placement=placement)
    note = f" Beside that: {done}." if done else ""
    return f"{net.underlying} at {size(price)} is {runs}: too far to follow, unless it comes back.{note}"


def small(legs: Sequence[Leg], net: Net) -> str:
    """Say that a change is less than the venue takes, and that it will add up."""
    if net.market is None:
        return ""
    instrument = net.market.instrument
    change = abs(net.target - net.holding.quantity) * net.market.mark
    if change >= instrument.min_notional:
        least = f"the venue's smallest step of {plain(instrument.quantity_step)} {instrument.code}"
    else:
        least = f"the venue's minimum of {dollars(instrument.min_notional)}"
    return f"{names(legs)}: a change of {dollars(change)} is below {least}; it waits until changes add up."


def held_back(legs: Sequence[Leg], net: Net) -> str:
    """Say why a slice cannot shrink as its trader did."""
    why = f"beside what the others hold it would open the other side, and {net.barred}"
    if not net.crossable:
        why = f"nothing is opened and nothing changes hands between traders while {net.barred}"
    return f"What {names(legs)} took off {net.underlying} waits: {why}."


def flipping(legs: Sequence[Leg], net: Net) -> str:
    """Say that a position is closed before its other side opens."""
    side = "long" if net.holding.quantity > 0 else "short"
    other = "short" if side == "long" else "long"
    return (
        f"{names(legs)} changed sides: the {side} of {size(abs(net.holding.quantity))} is closed first, "
        f"the {other} of {size(abs(net.target))} follows when flat."
    )


def drifted(net: Net, *, done: bool) -> str:
    """Say how far a position has drifted, and what is or should be done."""
    drift = target_drift(actual=net.holding.quantity, target=net.target)
    state = f"{net.underlying} is {percent(drift)} away from its target of {size(net.target)}"
    return f"Rebalanced: {state}." if done else f"Rebalance recommended: {state}. No trader caused it."


def _crossed_text(net: Net, crossed: Decimal) -> str:
    """Say what changed hands inside the portfolio."""
    if crossed == 0:
        return ""
    code = net.market.instrument.code if net.market else net.underlying
    return f"{size(crossed)} {code} changes hands between traders, without a fee"
