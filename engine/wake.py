"""Waking copy cycles: the wish to run is a column in the database, the message is only a hint.

A lost message costs a sweep (``plan.due`` runs every second), never a decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import Q

from allocation.models import Follow
from engine.models import CycleState
from engine.sending import cycles_later


@transaction.atomic
def cycles_wake(*, portfolio_ids: Iterable[int], now: datetime, why: str, force_all: bool = False) -> None:
    """Ask for a copy cycle of each portfolio soon; sent to the workers once the transaction commits.

    :param force_all: place every target anew though no trader moved (a setting or the follows changed)
    """
    wanted = CycleState.objects.filter(portfolio_id__in=set(portfolio_ids))
    ids = list(
        wanted.select_for_update().order_by("pk").values_list("pk", flat=True)
    )  # two wakes never cross
    if not ids:
        return
    forced = {"forced_all": True} if force_all else {}
    wanted.update(wanted_at=now, wanted_why=why[:120], **forced)
    transaction.on_commit(partial(cycles_later, ids))


def portfolios_following(*, trader_ids: Iterable[int]) -> list[int]:
    """Return the ids of portfolios that follow any of these traders, removed follows aside."""
    return list(
        Follow.objects.filter(trader_id__in=list(trader_ids))
        .exclude(status=Follow.Status.REMOVED)
        .order_by("portfolio_id")
        .values_list("portfolio_id", flat=True)
        .distinct()
    )


def portfolios_joining(*, trader_ids: Iterable[int]) -> list[int]:
    """Return the ids of portfolios with an active follow of these traders that waits for a read."""
    waiting = Follow.objects.filter(
        Q(joined=False) | Q(resumed_at__isnull=False), status=Follow.Status.ACTIVE
    )
    return list(
        waiting.filter(trader_id__in=list(trader_ids))
        .order_by("portfolio_id")
        .values_list("portfolio_id", flat=True)
        .distinct()
    )
