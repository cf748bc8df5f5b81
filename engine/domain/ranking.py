"""Ranking: a score for every entry of a plan, by what is known of its market and its traders (EXE-2)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from core.decimals import ZERO
from engine.domain.copy_types import CopyInputs
from engine.domain.nets import Net
from engine.domain.placement import Placement
from engine.domain.scoring import NO_PULSE, Candidate, CandidateScore, PastResults, candidate_score

NOTHING_CLOSED = PastResults()


def entries_rank(
    *, nets: Mapping[str, Net], placements: Mapping[str, Placement], inputs: CopyInputs
) -> dict[str, CandidateScore]:
    """Score every placement that enters, by underlying; exits have no rank, they come first."""
    return {
        underlying: candidate_score(candidate=_candidate(nets[underlying], placement.quantity, inputs))
        for underlying, placement in placements.items()
        if placement.enters
    }


def _candidate(net: Net, quantity: Decimal, inputs: CopyInputs) -> Candidate:
    """Describe one entry; its traders count by how far each one's slice is to move the entry's way."""
    needs = ((leg.follow_id, net.targets[leg.follow_id] - leg.held) for leg in net.legs)
    past = [
        (abs(need), inputs.past.get((follow_id, net.underlying), NOTHING_CLOSED))
        for follow_id, need in needs
        if follow_id is not None and need * quantity > 0
    ]
    mark = net.market.mark if net.market else ZERO
    pulse = inputs.pulses.get(net.underlying, NO_PULSE)
    return Candidate(underlying=net.underlying, notional=quantity * mark, pulse=pulse, past=past)
