"""Sixth stage: one decision, with its reason, for every change of every followed trader (BEY-3).

A plan holds at most one decision per underlying and kind; traders whose changes ended alike share
it. Its fingerprint is made of what was decided on (kind, quantities of the traders, weights, rule,
limits), never of prices, so that a mark that ticks adds no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from core.decimals import dollars
from core.ids import fingerprint
from engine.domain import reasons
from engine.domain.copy_types import CopyInputs, FollowInput
from engine.domain.legs import Leg, Scene
from engine.domain.outcomes import Case, Outcome, leg_outcome
from engine.domain.plan_types import Decision, DecisionKind
from engine.domain.standing import rule_of


def net_decisions(*, case: Case, inputs: CopyInputs) -> tuple[Decision, ...]:
    """Return what was decided on one underlying, one decision per kind."""
    found: dict[Outcome, list[Leg]] = {}
    for leg in case.net.legs:
        outcome = leg_outcome(leg=leg, case=case)
        if outcome is not None and leg.follow_id is not None:
            found.setdefault(outcome, []).append(leg)
    kinds = dict.fromkeys(outcome.kind for outcome in found)
    return tuple(
        _decision(kind, {o: legs for o, legs in found.items() if o.kind is kind}, case, inputs)
        for kind in kinds
    )


def trader_decisions(*, scene: Scene) -> tuple[Decision, ...]:
    """Return what was decided on traders as a whole: those that can't be read, and those without equity."""
    found = (
        (
            DecisionKind.HELD,
            scene.lost,
            "Cannot be read",
            "cannot be read: what is held stays, nothing is opened.",
        ),
        (DecisionKind.REFUSED, scene.ruined, "No equity", _ruin_text(scene.ruined)),
    )
    return tuple(
        Decision(
            kind=kind,
            underlying="",
            follow_ids=tuple(sorted(follow.follow_id for follow in follows)),
            text=reasons.clip(f"{title}: {_follow_names(follows)}", reasons.MAX_TEXT),
            reason=reasons.clip(f"{_follow_names(follows)} {why}", reasons.MAX_REASON),
            fingerprint=fingerprint(kind, title, *sorted(follow.follow_id for follow in follows)),
        )
        for kind, follows, title, why in found
        if follows
    )


def _decision(
    kind: DecisionKind, outcomes: Mapping[Outcome, Sequence[Leg]], case: Case, inputs: CopyInputs
) -> Decision:
    """Write one decision for all outcomes of a kind on one underlying."""
    net = case.net
    titles = (f"{o.title.format(net.underlying)}: {reasons.names(legs)}" for o, legs in outcomes.items())
    sentences = (outcome.sentence(legs, case) for outcome, legs in outcomes.items())
    return Decision(
        kind=kind,
        underlying=net.underlying,
        follow_ids=tuple(
            sorted(leg.follow_id for legs in outcomes.values() for leg in legs if leg.follow_id is not None)
        ),
        text=reasons.clip("; ".join(titles), reasons.MAX_TEXT),
        reason=reasons.clip(" ".join(sentences), reasons.MAX_REASON),
        fingerprint=fingerprint(kind, *_settings(case, inputs), *_basis(outcomes)),
        before=net.holding.quantity,
        after=net.holding.quantity + case.placement.quantity,
        score=case.rank.score if case.rank else None,
        score_text=case.rank.text if case.rank else "",
    )


def _settings(case: Case, inputs: CopyInputs) -> Iterable[object]:
    """Return which settings a decision on this underlying was made under."""
    rule = rule_of(net=case.net, inputs=inputs)
    return case.net.underlying, case.net.barred, inputs.policy, rule, inputs.limits


def _basis(outcomes: Mapping[Outcome, Sequence[Leg]]) -> Iterable[object]:
    """Return what the legs of each outcome were decided on, free of prices."""
    for outcome, legs in outcomes.items():
        yield outcome.title
        for leg in sorted(legs, key=lambda leg: leg.follow_id or 0):
            yield from (leg.follow_id, leg.state, leg.weight)
            yield "unread" if leg.trader_quantity is None else leg.trader_quantity


def _follow_names(follows: Sequence[FollowInput]) -> str:
    return reasons.join([follow.name for follow in follows])


def _ruin_text(follows: Sequence[FollowInput]) -> str:
    equities = reasons.join([dollars(follow.book.equity) for follow in follows if follow.book])
    return f"reports an equity of {equities}: exposure cannot be scaled from it, so what is held stays."
