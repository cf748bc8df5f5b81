"""A dry run: everything is decided, kept and shown, and nothing is done about it (CON-4).

Nothing is adopted either, so that the first real decision after it acts on what the traders wish then.
Orders that work already may still be called back. At the end of a recording positions are closed all the
same, or the replay could not start over.
"""

from __future__ import annotations

from dataclasses import replace

from core.ids import fingerprint
from engine.domain import reasons
from engine.domain.plan_types import CopyPlan, Decision


def plan_dry(*, plan: CopyPlan) -> CopyPlan:
    """Return a plan that only tells what it would have done."""
    acting = {order.underlying for order in plan.orders}
    acting |= {transfer.underlying for transfer in plan.transfers}
    return replace(
        plan,
        transfers=(),
        orders=(),
        memory=(),
        decided_bases={},
        decisions=tuple(_told(decision, decision.underlying in acting) for decision in plan.decisions),
    )


def _told(decision: Decision, acts: bool) -> Decision:
    """Mark a decision as dry; its fingerprint differs, so that the real one is kept beside it."""
    reason = f"Would have, were it not for the dry run: {decision.reason}" if acts else decision.reason
    return replace(
        decision,
        text=reasons.clip(f"Dry run: {decision.text}", reasons.MAX_TEXT),
        reason=reasons.clip(reason, reasons.MAX_REASON),
        fingerprint=fingerprint("dry run", decision.fingerprint),
    )
