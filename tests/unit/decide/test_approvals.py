"""Approval of conflicts: what waits, what passes meanwhile, and what each answer leads to (CON-4)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from allocation.domain.limits import PROFILES
from core.types import ConflictRule, OrderSide, Policy, PositionSide
from engine.domain.copy import copy_plan
from engine.domain.copy_types import CopyInputs, FollowState, LegMemory, WorkingOrder
from engine.domain.plan_types import ApprovalAsk, CopyPlan, DecisionKind, RulePreview
from positions.domain.approvals import (
    Approval,
    ApprovalStatus,
    WishOf,
    approval_standing,
    least_taken,
    wishes_fingerprint,
)
from positions.domain.conflicts import ConflictKind
from tests.unit.decide.scenario import Keeper, book, follow, holding, inputs

D = Decimal
S = ApprovalStatus


# ---------------------------------------------------------------- the pure part
@pytest.mark.parametrize(
    ("held", "goals", "stays"),
    [
        ("10", ["12", "4", "0"], "10"),
        ("10", ["6", "4", "0"], "6"),
        ("10", ["4", "-3", "0"], "4"),
        ("10", ["-3", "-5", "0"], "0"),
        ("-10", ["-6", "2", "-4"], "-6"),
        ("0", ["5", "-5", "0"], "0"),
    ],
)
def test_the_rule_that_takes_least_off_decides_what_stays(held: str, goals: list[str], stays: str) -> None:
    """CON-4: a reduction that every rule would make is never delayed; nothing ever grows."""
    assert least_taken(held=D(held), goals=[D(goal) for goal in goals]) == D(stays)


def test_wishes_are_told_apart_by_who_side_and_quantity() -> None:
    """CON-4: and by nothing else; their order makes no difference."""
    one, two = WishOf(1, PositionSide.LONG, D("1.0")), WishOf(2, PositionSide.SHORT, D(-2))
    mark = wishes_fingerprint(underlying="ETH", kind=ConflictKind.OPPOSED, wishes=[one, two])
    assert mark == wishes_fingerprint(
        underlying="ETH", kind=ConflictKind.OPPOSED, wishes=[two, replace(one, quantity=D(1))]
    )
    others = [
        ("BTC", ConflictKind.OPPOSED, [one, two]),
        ("ETH", ConflictKind.OVERLAP, [one, two]),
        ("ETH", ConflictKind.OPPOSED, [one, replace(two, quantity=D(-3))]),
        ("ETH", ConflictKind.OPPOSED, [one, replace(two, follow_id=3)]),
        ("ETH", ConflictKind.OPPOSED, [one]),
    ]
    marks = {wishes_fingerprint(underlying=u, kind=k, wishes=w) for u, k, w in others}
    assert len(marks) == 5
    assert mark not in marks


@pytest.mark.parametrize("status", list(S))
def test_the_same_wishes_are_asked_about_once(status: ApprovalStatus) -> None:
    """CON-4: whatever came of it stands; only what was over before it was decided is asked anew."""
    known = Approval("same", status, ConflictRule.FIRST if status is S.APPROVED else None)
    expected = None if status is S.OVER else status
    assert approval_standing(wishes="same", last=known) is expected
    assert approval_standing(wishes="other", last=known) is None
    assert approval_standing(wishes="same", last=None) is None


# ---------------------------------------------------------------- whole decisions
def two(one: str, other: str, **more: Any) -> CopyInputs:
    """A and B with half of 10,000 each; 2 ETH of theirs are 1 of ours. Conflicts are approved."""
    given = {"approves_conflicts": True} | more
    return inputs(follow(1, book(10000, {"ETH": one})), follow(2, book(10000, {"ETH": other})), **given)


def signed(plan: CopyPlan) -> list[Decimal]:
    return [o.quantity if o.side is OrderSide.BUY else -o.quantity for o in plan.orders]


class Owner:
    """Keeps what was asked, answers it, and lets everything be carried out."""

    def __init__(self) -> None:
        self.keeper = Keeper()
        self.approvals: dict[str, Approval] = {}
        self.asked: list[ApprovalAsk] = []

    def act(self, given: CopyInputs) -> CopyPlan:
        plan = copy_plan(inputs=self.inputs(given))
        self.keeper.carry_out(plan)
        for underlying in plan.approvals_over:
            self.approvals[underlying] = replace(self.approvals[underlying], status=S.OVER)
        for ask in plan.asks:
            known = self.approvals.get(ask.underlying)
            assert known is None or known.status is not S.WAITING, "one waits per instrument"
            self.approvals[ask.underlying] = Approval(ask.wishes, S.WAITING)
            self.asked.append(ask)
        return plan

    def inputs(self, given: CopyInputs) -> CopyInputs:
        return replace(self.keeper.filled_in(given), approvals=dict(self.approvals))

    def answer(self, status: ApprovalStatus, rule: ConflictRule | None = None) -> None:
        known = self.approvals["ETH"]
        self.approvals["ETH"] = Approval(known.wishes, status, rule)

    @property
    def held(self) -> Decimal:
        return self.keeper.quantity("ETH")


@pytest.fixture
def owner() -> Owner:
    """A holds 2 ETH (1 of ours), alone so far."""
    begun = Owner()
    assert signed(begun.act(two("2", "0"))) == [D(1)]
    return begun


def test_a_conflict_waits_with_what_each_rule_would_make_of_it(owner: Owner) -> None:
    """CON-4: B wants 3; the old target stands, and the previews include the limits."""
    plan = owner.act(two("2", "6"))
    assert (plan.orders, plan.transfers) == ((), ())
    (ask,) = plan.asks
    assert (ask.underlying, ask.kind) == ("ETH", ConflictKind.OVERLAP)
    assert [(h.follow_id, h.quantity) for h in ask.holders] == [(1, D(1)), (2, D(3))]
    assert ask.previews == {
        ConflictRule.COMBINE: RulePreview(D(1), D(4), D(12000), ""),
        ConflictRule.LARGEST: RulePreview(D(1), D(3), D(9000), ""),
        ConflictRule.FIRST: RulePreview(D(1), D(1), D(3000), ""),
    }
    (decision,) = plan.decisions
    assert (decision.kind, decision.follow_ids) == (DecisionKind.DELAYED, (2,))
    assert decision.text == "Waiting for your approval of ETH: B"
    assert decision.reason == (
        "B changed ETH, and its conflict waits for your approval: A $3,000.00 and B $9,000.00. "
        "The old target stands."
    )
    (conflict,) = plan.conflicts
    assert (conflict.after_quantity, conflict.held_back) == (D(1), "its conflict waits for your approval")
    again = owner.act(two("2", "6"))
    assert (again.orders, again.asks, again.decisions, again.approvals_over) == ((), (), (), ())
    assert again.conflicts[0].fingerprint == conflict.fingerprint


def test_previews_name_the_limit_that_cuts(owner: Owner) -> None:
    """CON-4, RSK-1: 50 % of 10,000 at 3,000 are 1.6666."""
    plan = owner.act(two("2", "6", limits=PROFILES["aggressive"]))
    preview = plan.asks[0].previews[ConflictRule.COMBINE]
    assert preview.after == D("1.6666")
    assert preview.capped.startswith("50 % of equity ($5,000.00)")
    assert plan.asks[0].previews[ConflictRule.FIRST].capped == ""


@pytest.mark.parametrize(
    ("rule", "ordered"),
    [(ConflictRule.COMBINE, [D(3)]), (ConflictRule.LARGEST, [D(2)]), (ConflictRule.FIRST, [])],
)
def test_the_approved_rule_counts_for_these_wishes(
    owner: Owner, rule: ConflictRule, ordered: list[Decimal]
) -> None:
    """CON-4: whatever the portfolio's own rule says; nothing is asked again."""
    owner.act(two("2", "6"))
    owner.answer(S.APPROVED, rule)
    plan = owner.act(two("2", "6", forced=frozenset({"ETH"})))
    assert (signed(plan), plan.asks) == (ordered, ())
    assert plan.conflicts[0].rule is rule
    assert plan.conflicts[0].held_back == ""
    rest = owner.act(two("2", "6"))
    assert (rest.orders, rest.asks, rest.decisions) == ((), (), ())


@pytest.mark.parametrize("answer", [S.REJECTED, S.LAPSED])
def test_rejected_or_lapsed_the_old_target_stands_until_the_wishes_change(
    owner: Owner, answer: ApprovalStatus
) -> None:
    """CON-4: asked again only then."""
    owner.act(two("2", "6"))
    owner.answer(answer)
    for _ in range(3):
        plan = owner.act(two("2", "6", forced=frozenset({"ETH"})))
        assert (plan.orders, plan.asks, owner.held) == ((), (), D(1))
    assert plan.conflicts[0].held_back == "its conflict was not approved"
    changed = owner.act(two("2", "8"))
    assert (len(changed.asks), changed.orders) == (1, ())
    assert [ask.previews[ConflictRule.LARGEST].after for ask in owner.asked] == [
        D(3),
        D("3.3333"),
    ]  # its share


def test_a_changed_wish_ends_what_waits_and_asks_anew(owner: Owner) -> None:
    """CON-4: one waits per instrument."""
    owner.act(two("2", "6"))
    plan = owner.act(two("2", "8"))
    assert (plan.approvals_over, len(plan.asks)) == (("ETH",), 1)
    assert plan.asks[0].wishes != owner.asked[0].wishes


def test_what_was_approved_is_asked_again_when_the_wishes_change(owner: Owner) -> None:
    """CON-4: until then the rule counts; after it the target that stands is the approved one."""
    owner.act(two("2", "6"))
    owner.answer(S.APPROVED, ConflictRule.COMBINE)
    owner.act(two("2", "6", forced=frozenset({"ETH"})))
    assert owner.held == 4
    plan = owner.act(two("2", "8"))
    assert (plan.orders, len(plan.asks), owner.held) == ((), 1, D(4))


def test_prices_and_weights_ask_nothing(owner: Owner) -> None:
    """CON-4: the same wishes at another price, and with another equity of ours."""
    owner.act(two("2", "6"))
    plan = owner.act(two("2", "6", equity=D(20000), forced=frozenset({"ETH"})))
    assert (plan.asks, plan.approvals_over, plan.orders) == ((), (), ())


def test_a_reduction_that_every_rule_makes_is_never_delayed() -> None:
    """CON-4: A and B hold 1 and 3 by approval; A takes off half: combine 3.5, largest 3, first 0.5."""
    owner = Owner()
    owner.act(two("2", "6"))
    owner.answer(S.APPROVED, ConflictRule.COMBINE)
    assert signed(owner.act(two("2", "6", forced=frozenset({"ETH"})))) == [D(4)]
    plan = owner.act(two("1", "6"))
    assert (signed(plan), len(plan.asks)) == ([D("-0.5")], 1)
    assert owner.keeper.slices["ETH"] == {1: D("0.5"), 2: D(3)}
    (decision,) = plan.decisions
    assert decision.kind is DecisionKind.MERGED


def test_a_traders_close_passes_and_ends_the_conflict(owner: Owner) -> None:
    """CON-4: A closes while B's wish waits: A's slice is sold; B alone is no conflict, so it is copied."""
    owner.act(two("2", "6"))
    plan = owner.act(two("0", "6"))
    assert plan.approvals_over == ("ETH",)
    assert owner.held == 3
    assert owner.keeper.slices["ETH"] == {1: D(0), 2: D(3)}


def test_a_close_that_would_leave_the_other_side_open_waits_with_it() -> None:
    """CON-4, RSK-2: A +3, B −1, C −1; A closes, and two shorts are still a conflict: flat, not short."""
    owner = Owner()

    def three(*quantities: str, **more: Any) -> CopyInputs:
        follows = [follow(n, book(10000, {"ETH": q})) for n, q in enumerate(quantities, 1)]
        return inputs(*follows, approves_conflicts=True, equity=D(30000), **more)

    owner.act(three("3", "-1", "-1"))
    owner.answer(S.APPROVED, ConflictRule.COMBINE)
    owner.act(three("3", "-1", "-1", forced=frozenset({"ETH"})))
    before = owner.held
    assert before > 0
    plan = owner.act(three("0", "-1", "-1"))
    assert signed(plan) == [-before]
    assert owner.held == 0
    assert len(plan.asks) == 1


def test_under_the_spot_policy_a_short_wish_waits_too() -> None:
    """CON-4, ADR 3: B's short would take off half of what A holds; first would not."""
    owner = Owner()
    owner.act(two("2", "0", policy=Policy.SPOT))
    plan = owner.act(two("2", "-1", policy=Policy.SPOT))
    assert (plan.orders, owner.held) == ((), D(1))
    assert {rule: preview.after for rule, preview in plan.asks[0].previews.items()} == {
        ConflictRule.COMBINE: D("0.5"),
        ConflictRule.LARGEST: D(1),
        ConflictRule.FIRST: D(1),
    }


def test_an_order_that_works_goes_on_while_the_conflict_waits() -> None:
    """CON-4: A's entry is on its way when B comes; the old target is A's, and nobody calls it back."""
    owner = Owner()
    owner.act(two("2", "0"))
    owner.keeper.slices.clear()
    working = {"ETH": holding("ETH", {}, working=(WorkingOrder(7, OrderSide.BUY, D(1)),))}
    plan = copy_plan(inputs=replace(owner.inputs(two("2", "6")), holdings=working))
    assert (plan.orders, plan.cancels, len(plan.asks)) == ((), (), 1)
    less = copy_plan(inputs=replace(owner.inputs(two("1", "0.4")), holdings=working))
    assert less.cancels == ()


def test_without_approval_mode_nothing_waits_and_what_waited_is_over(owner: Owner) -> None:
    """CON-4: switched off, conflicts are settled by rule at once."""
    owner.act(two("2", "6"))
    plan = owner.act(two("2", "6", approves_conflicts=False, forced=frozenset({"ETH"})))
    assert (signed(plan), plan.asks, plan.approvals_over) == ([D(3)], (), ("ETH",))


def test_a_trader_that_cannot_be_read_decides_nothing(owner: Owner) -> None:
    """CON-4: B waits, A is lost: B alone would be no conflict, but A has not changed its mind."""
    owner.act(two("2", "6"))
    lost = two("2", "6")
    lost = replace(lost, follows=(replace(lost.follows[0], state=FollowState.LOST), lost.follows[1]))
    plan = owner.act(lost)
    assert (plan.orders, plan.asks, plan.approvals_over, owner.held) == ((), (), (), D(1))


def test_paused_while_it_waits_a_slice_keeps_what_it_has(owner: Owner) -> None:
    """CON-4: what a rule would have taken off was not approved, so pausing does not finish it."""
    owner.act(two("2", "6", rule=ConflictRule.LARGEST))  # under largest A would get nothing
    assert owner.keeper.memory[1]["ETH"] == LegMemory(D(2), D(3000), D(1))
    assert owner.keeper.memory[2]["ETH"] == LegMemory(D(6), D(9000), D(3))
    paused = two("2", "6")
    paused = replace(
        paused, follows=(replace(paused.follows[0], state=FollowState.PAUSED), paused.follows[1])
    )
    plan = owner.act(paused)
    assert owner.keeper.slices["ETH"][1] == 1
    assert plan.approvals_over == ("ETH",)  # one vote is no conflict any more


def test_a_bar_on_entries_holds_beside_the_wait(owner: Owner) -> None:
    """RSK-2: halted, an approval opens nothing; it is carried out when the halt is over."""
    owner.act(two("2", "6"))
    owner.answer(S.APPROVED, ConflictRule.COMBINE)
    halted = owner.act(two("2", "6", forced=frozenset({"ETH"}), entries_blocked="it is halted"))
    assert (halted.orders, owner.held) == ((), D(1))
    assert signed(owner.act(two("2", "6"))) == [D(3)]


def test_in_a_dry_run_conflicts_are_asked_about_too(owner: Owner) -> None:
    """CON-4: decided and logged, nothing ordered."""
    plan = owner.act(two("2", "6", dry_run=True))
    assert (len(plan.asks), plan.orders, plan.memory) == (1, (), ())
