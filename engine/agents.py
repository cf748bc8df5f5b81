"""What an agent's post sets off, and what keeps an agent from being revoked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from allocation.models import Follow
from engine.sending import sync_later
from traders.domain.reads import TraderPosition
from traders.models import PushAgent
from traders.push import Posted, agent_post, agent_revoke
from traders.services import trader_wake_posted


def agent_posted(
    *, agent: PushAgent, sequence: int, at: datetime, equity: Decimal, positions: Sequence[TraderPosition],
    digest: str, now: datetime,
) -> Posted:  # fmt: skip
    """Keep a post and have it read at once; to be called outside any transaction.

    Arguments and errors are those of ``traders.push.agent_post``.
    """
    posted = agent_post(
        agent=agent, sequence=sequence, at=at, equity=equity, positions=positions, digest=digest, now=now
    )
    if posted is Posted.KEPT and trader_wake_posted(trader_id=agent.pk, now=now):
        sync_later()
    return posted


def agent_end(*, agent: PushAgent, via: str, now: datetime) -> bool:
    """Revoke an agent that nobody follows; False where it is revoked already.

    :raises InputError: it is followed; the message says by which portfolios
    """
    follows = Follow.objects.filter(trader_id=agent.pk).exclude(status=Follow.Status.REMOVED)
    names = [follow.portfolio.name for follow in follows.select_related("portfolio").order_by("pk")]
    return agent_revoke(agent=agent, followed_by=names, via=via, now=now)
