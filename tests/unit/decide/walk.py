"""A random walk of a whole portfolio: traders trade, prices move, settings change, orders fill in part.

Every step decides, checks what must hold of the plan, and carries it out. A walk is fixed by its seed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import combinations

from allocation.domain.chase import price_run
from allocation.domain.copied import ignored_ratchet
from allocation.domain.correlation import Correlations, groups_of
from allocation.domain.limits import PROFILES, gross_cap, kept
from core.decimals import ZERO
from core.types import ConflictRule, OrderSide, Policy
from engine.domain.copy import copy_plan
from engine.domain.copy_types import CopyInputs, FollowState, Holding, LegMemory, WorkingOrder
from engine.domain.plan_types import CopyPlan, OrderIntent
from positions.domain.booking import fill_shares, notional_of
from positions.domain.netting import FollowId, SliceDelta, Transfer, slices_after
from tests.unit.decide.scenario import PRICES, WIDE, D, book, follow, inputs, markets

CODES = tuple(PRICES)
DUST = D("0.00000001")  # one unit of money's last place, per underlying


@dataclass
class Open:
    """An order on its way: the intent and how much of it has filled."""

    intent: OrderIntent
    filled: Decimal = ZERO


@dataclass
class Walk:
    """One portfolio and its traders."""

    rng: random.Random
    policy: Policy = Policy.PERP
    slices: dict[str, dict[FollowId, Decimal]] = field(default_factory=dict)
    memory: dict[int, dict[str, LegMemory]] = field(default_factory=dict)
    ignored: dict[int, dict[str, Decimal]] = field(default_factory=dict)
    bases: dict[int, int] = field(default_factory=dict)
    basis: dict[int, int] = field(default_factory=dict)
    books: dict[int, dict[str, Decimal]] = field(default_factory=dict)
    entries: dict[int, dict[str, Decimal]] = field(default_factory=dict)
    equities: dict[int, Decimal] = field(default_factory=dict)
    states: dict[int, FollowState] = field(default_factory=dict)
    prices: dict[str, Decimal] = field(default_factory=lambda: dict(PRICES))
    working: dict[str, Open] = field(default_factory=dict)
    order_ids: int = 0

    def begin(self) -> None:
        """Set the scene: two to four traders, any policy."""
        self.policy = self.rng.choice(list(Policy))
        for follow_id in range(1, self.rng.randint(2, 4) + 1):
            self.states[follow_id] = FollowState.ACTIVE
            self.equities[follow_id] = D(self.rng.choice([1000, 10000, 250000]))
            self.books[follow_id] = {}
            self.basis[follow_id] = 0
            self.trade(follow_id)
            if self.rng.random() < 0.3:
                self.ignored[follow_id] = dict(self.books[follow_id])

    def trade(self, follow_id: int) -> None:
        """Let a trader change some of its positions, now and then only by a crumb."""
        for code in self.rng.sample(CODES, self.rng.randint(1, len(CODES))):
            ratio = D(self.rng.choice([0, 0, 0.0005, 0.1, 0.5, 2])) * self.rng.choice([1, 1, -1])
            quantity = self.equities[follow_id] * ratio / self.prices[code]
            self.books[follow_id][code] = quantity.quantize(D("0.000001"))
            self.entries.setdefault(follow_id, dict(self.prices))[code] = self.prices[code]
        self.basis[follow_id] += 1

    def stir(self) -> None:
        """Change something in the world."""
        for code in CODES:
            self.prices[code] = (self.prices[code] * D(self.rng.uniform(0.93, 1.07))).quantize(D("0.000001"))
        for follow_id in self.states:
            if self.rng.random() < 0.5:
                self.trade(follow_id)
            if self.rng.random() < 0.2:
                self.states[follow_id] = self.rng.choice(list(FollowState))

    def inputs(self) -> CopyInputs:
        """Gather the inputs, with random settings."""
        rng = self.rng
        follows = [
            follow(
                follow_id,
                book(
                    self.equities[follow_id] * rng.choice([1, 1, 1, 0]),
                    self.books[follow_id],
                    self.prices,
                    entries=self.entries[follow_id],
                )
                if rng.random() < 0.95
                else None,
                state=state,
                memory=self.memory.get(follow_id, {}),
                ignored=self.ignored.get(follow_id, {}),
                basis_id=self.basis[follow_id],
                decided_basis_id=self.bases.get(follow_id),
            )
            for follow_id, state in self.states.items()
        ]
        given = inputs(
            *follows,
            policy=self.policy,
            rule=rng.choice(list(ConflictRule)),
            overrides={"ETH": rng.choice(list(ConflictRule))} if rng.random() < 0.3 else {},
            limits=rng.choice([WIDE, *PROFILES.values(), replace(WIDE, max_positions=2)]),
            correlations=Correlations(
                {pair: rng.uniform(-1, 1) for pair in combinations(sorted(CODES), 2) if rng.random() < 0.7}
            ),
            equity=D(rng.choice([0, 300, 10000, 10000])),
            free_capital=D(rng.choice([0, 500, 20000, 20000])),
            markets=markets(self.prices, stale=frozenset(rng.sample(CODES, rng.choice([0, 0, 1])))),
            auto_rebalance=rng.random() < 0.3,
            blocked=frozenset(rng.sample(CODES, rng.choice([0, 0, 1]))),
            entries_blocked="halted" if rng.random() < 0.1 else "",
            forced=frozenset(CODES if rng.random() < 0.1 else ()),
            fee_rate=D("0.00045"),
        )
        return replace(given, holdings=self.holdings())

    def holdings(self) -> dict[str, Holding]:
        """What is held, and what works."""
        return {
            code: Holding(
                underlying=code,
                quantity=self.quantity(code),
                average_entry=self.prices[code],
                slices={follow_id: part for follow_id, part in self.slices.get(code, {}).items() if part},
                working=self._working(code),
            )
            for code in {*self.slices, *self.working}
            if any(self.slices.get(code, {}).values()) or code in self.working
        }

    def quantity(self, code: str) -> Decimal:
        return sum(self.slices.get(code, {}).values(), ZERO)

    def carry_out(self, plan: CopyPlan) -> None:
        """Book the plan; orders begin to work."""
        for cancel in plan.cancels:
            self.working.pop(cancel.underlying)
        for transfer in plan.transfers:
            before = self.quantity(transfer.underlying)
            self._change(
                transfer.underlying,
                Transfer(transfer.from_follow_id, transfer.to_follow_id, transfer.quantity),
            )
            assert self.quantity(transfer.underlying) == before
        for order in plan.orders:
            assert order.underlying not in self.working, "one order works at a time"
            self.working[order.underlying] = Open(order)
        for update in plan.memory:
            self.memory.setdefault(update.follow_id, {})[update.underlying] = update.memory
        for change in plan.ignored:
            self.ignored.setdefault(change.follow_id, {})[change.underlying] = change.quantity
        self.bases |= plan.decided_bases

    def fill(self, *, fully: bool) -> None:
        """Fill working orders, in full or in random parts; what is left may go on working or expire."""
        for code, order in list(self.working.items()):
            left = order.intent.quantity - order.filled
            step = D("0.00001") if code == "BTC" else D("0.01")
            part = left if fully or self.rng.random() < 0.5 else (left / 3).quantize(step)
            part = min(part, left)
            if part:
                self._fill(code, order, part)
            if order.filled == order.intent.quantity or self.rng.random() < 0.5:
                del self.working[code]

    def _fill(self, code: str, order: Open, part: Decimal) -> None:
        before = self.quantity(code)
        ordered = order.intent.slices
        sign = 1 if order.intent.side is OrderSide.BUY else -1
        notional = notional_of(quantity=sign * part, price=self.prices[code])
        shares = fill_shares(
            slices=[slice_.quantity for slice_ in ordered],
            filled_before=sign * order.filled,
            quantity=sign * part,
            notional=notional,
            fee=D("0.01"),
        )
        changes = [SliceDelta(ordered[share.index].follow_id, share.quantity) for share in shares]
        self.slices[code] = slices_after(slices=self.slices.get(code, {}), transfers=(), changes=changes)
        order.filled += part
        assert self.quantity(code) == before + sign * part, "Σ slices = position after every fill"
        assert sum((share.notional for share in shares), ZERO) == notional

    def _working(self, code: str) -> tuple[WorkingOrder, ...]:
        order = self.working.get(code)
        if order is None:
            return ()
        self.order_ids += 1
        return (WorkingOrder(self.order_ids, order.intent.side, order.intent.quantity - order.filled),)

    def _change(self, code: str, transfer: Transfer) -> None:
        self.slices[code] = slices_after(slices=self.slices.get(code, {}), transfers=[transfer])


def plan_checked(given: CopyInputs) -> CopyPlan:
    """Decide, and check everything that must hold of any plan."""
    plan = copy_plan(inputs=given)
    after = positions_after(given, plan)
    _check_orders(given, plan)
    _check_bars(given, plan, after)
    _check_chase(given, after)
    _check_limits(given, plan, after)
    _check_room(given, plan)
    _check_decisions(given, plan)
    if given.policy is Policy.SPOT:
        assert all(part >= 0 for parts in after.values() for part in parts.values()), "spot never goes short"
    return plan


def positions_after(given: CopyInputs, plan: CopyPlan) -> dict[str, dict[FollowId, Decimal]]:
    """Return all slices once the plan has been carried out in full."""
    after = {underlying: dict(holding.slices) for underlying, holding in given.holdings.items()}
    for transfer in plan.transfers:
        assert transfer.quantity > 0
        assert transfer.from_follow_id != transfer.to_follow_id
        pair = Transfer(transfer.from_follow_id, transfer.to_follow_id, transfer.quantity)
        after[transfer.underlying] = slices_after(slices=after.get(transfer.underlying, {}), transfers=[pair])
    for order in plan.orders:
        parts = after.get(order.underlying, {})
        after[order.underlying] = slices_after(slices=parts, transfers=(), changes=order.slices)
    return after


def _check_orders(given: CopyInputs, plan: CopyPlan) -> None:
    """Orders: steps, minimums, exact slices, exits first, capital."""
    for order in plan.orders:
        market = given.markets[order.underlying]
        signed = order.quantity if order.side is OrderSide.BUY else -order.quantity
        held = _held(given, order.underlying)
        assert order.quantity > 0
        assert sum((part.quantity for part in order.slices), ZERO) == signed
        assert not (order.reduce_only and (signed * held >= 0 or abs(signed) > abs(held)))
        if not order.reduce_only:
            assert signed * held >= 0
            assert order.quantity % market.instrument.quantity_step == 0
            lowest = min(market.mark, order.limit_price)
            assert order.quantity * lowest >= market.instrument.min_notional
            assert not market.stale
            assert not given.entries_blocked
            assert order.underlying not in given.blocked
            assert abs(order.limit_price / market.mark - 1) <= D("0.001")
    assert [o.reduce_only for o in plan.orders] == sorted((o.reduce_only for o in plan.orders), reverse=True)
    assert sum((o.capital_needed for o in plan.orders), ZERO) <= given.free_capital


def _check_bars(given: CopyInputs, plan: CopyPlan, after: Mapping[str, Mapping[FollowId, Decimal]]) -> None:
    """While nothing may be opened slices only shrink, and nothing changes hands at a stale mark."""
    stale = {u for u, market in given.markets.items() if market.stale and not given.world_ended}
    assert not stale & {transfer.underlying for transfer in plan.transfers}
    for code, holding in given.holdings.items():
        if not (given.entries_blocked or code in given.blocked or code in stale):
            continue
        market = given.markets[code]
        crumb = max(market.instrument.quantity_step, market.instrument.min_notional / market.mark)
        for follow_id, part in after[code].items():
            held = holding.slices.get(follow_id, ZERO)
            assert part * held >= 0
            # What the venue would not trade of another's exit may stay with a slice that remains.
            assert abs(part) <= abs(held) + (ZERO if code in stale else crumb)


def _check_chase(given: CopyInputs, after: Mapping[str, Mapping[FollowId, Decimal]]) -> None:
    """EXE-4: nothing is opened for a trader past whose entry the price has run more than 2 %."""
    for each in given.follows:
        for code, leg in (each.book.legs if each.book else {}).items():
            holding, market = given.holdings.get(code), given.markets.get(code)
            if market is None:
                continue  # the venue does not trade it
            if holding is not None and (holding.slices.get(each.follow_id) or holding.opening):
                continue
            price = market.mark / market.instrument.multiplier
            run = price_run(price=price, entry=leg.entry_price, long=leg.quantity > 0)
            crumb = max(market.instrument.quantity_step, market.instrument.min_notional / market.mark)
            if run > given.max_chase:
                assert abs(after.get(code, {}).get(each.follow_id, ZERO)) <= crumb


def _check_limits(given: CopyInputs, plan: CopyPlan, after: Mapping[str, Mapping[FollowId, Decimal]]) -> None:
    """Limits bound increases: of one position, of those that move together, of all, and of their number."""
    equity = max(given.equity, ZERO)
    cap = min(given.limits.max_position, given.limits.max_asset_weight) * equity
    gross = gross_cap(limits=given.limits, policy=given.policy) * equity
    wanted: dict[str, Decimal] = {}
    stays: dict[str, Decimal] = {}
    for net in plan.nets:
        mark = given.markets[net.underlying].mark
        held, then = net.held * mark, sum(after.get(net.underlying, {}).values(), ZERO) * mark
        assert abs(then) <= max(cap, abs(held)) + DUST
        assert abs(net.notional) <= max(cap, abs(held) if held * net.notional > 0 else ZERO) + DUST
        wanted[net.underlying] = net.notional
        stays[net.underlying] = abs(kept(held=held, wanted=net.notional))
    total = sum(map(abs, wanted.values()), ZERO)
    assert total <= max(gross, sum(stays.values(), ZERO)) + DUST * len(plan.nets)
    for members in groups_of(exposures=wanted, correlations=given.correlations).values():
        top = sorted(members, key=lambda name: abs(wanted[name]))[-3:]
        allowed = max(given.limits.max_correlated * equity, sum((stays[name] for name in top), ZERO))
        assert sum((abs(wanted[name]) for name in top), ZERO) <= allowed + DUST * 3
    before = sum(1 for h in given.holdings.values() if any(h.slices.values()) or h.working)
    newly = {u for u, parts in after.items() if any(parts.values())} | set(given.holdings)
    assert len(newly) <= max(given.limits.max_positions, before)


def _check_room(given: CopyInputs, plan: CopyPlan) -> None:
    """No entry takes what is held and on its way beyond a limit, while nothing is sold yet."""
    equity = max(given.equity, ZERO)
    gross = gross_cap(limits=given.limits, policy=given.policy) * equity
    before = {
        u: (h.quantity + sum((o.signed for o in h.opening), ZERO))
        * (given.markets[u].mark if u in given.markets else h.average_entry)
        for u, h in given.holdings.items()
    }
    after = dict(before)
    for order in plan.orders:
        if not order.reduce_only:
            sign = 1 if order.side is OrderSide.BUY else -1
            more = sign * order.quantity * order.decision_mark
            after[order.underlying] = after.get(order.underlying, ZERO) + more
            cap = min(given.limits.max_position, given.limits.max_asset_weight) * equity
            assert abs(after[order.underlying]) <= cap + DUST
    grown = {u for u in after if abs(after[u]) > abs(before.get(u, ZERO))}
    if grown:
        assert sum(map(abs, after.values()), ZERO) <= gross + DUST
        opening = sum(len(h.opening) for h in given.holdings.values())
        assert len(grown) <= given.limits.max_open_orders - opening
    for members in groups_of(exposures=after, correlations=given.correlations).values():
        top = sorted(members, key=lambda name: abs(after[name]))[-3:]
        if grown & set(members):
            was = sum(sorted(abs(before.get(name, ZERO)) for name in members)[-3:], ZERO)
            allowed = max(given.limits.max_correlated * equity, was)
            assert sum((abs(after[name]) for name in top), ZERO) <= allowed + DUST


def _check_decisions(given: CopyInputs, plan: CopyPlan) -> None:
    """BEY-3: every change of every readable trader has a decision; one per underlying and kind."""
    keys = [(decision.underlying, decision.kind) for decision in plan.decisions]
    assert len(keys) == len(set(keys))
    assert all(decision.reason and decision.text for decision in plan.decisions)
    told = {(follow_id, d.underlying) for d in plan.decisions for follow_id in d.follow_ids}
    for each in given.follows:
        readable = each.state in (FollowState.ACTIVE, FollowState.PAUSED) and each.book and each.book.usable
        if not readable or each.book is None or given.world_ended:
            continue
        for code in {*each.book.legs, *each.memory}:
            leg = each.book.legs.get(code)
            quantity = leg.quantity if leg else ZERO
            copied = quantity - ignored_ratchet(ignored=each.ignored.get(code, ZERO), quantity=quantity)
            known = each.memory[code].trader_quantity if code in each.memory else ZERO
            assert copied == known or (each.follow_id, code) in told


def _held(given: CopyInputs, underlying: str) -> Decimal:
    holding = given.holdings.get(underlying)
    return holding.quantity if holding else ZERO
