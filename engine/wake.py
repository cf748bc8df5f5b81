"""Waking copy cycles: the wish to run is a column in the database, the message is only a hint.

A lost message costs ``ASK_AGAIN`` and a sweep (``plan.due`` runs every second), never a decision. While one
is under way no other is sent: who is woken all the time does not fill the queue for everybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from django.db import transaction
from django.db.models import Q

from allocation.models import Follow
from engine.models import CycleState
from engine.sending import CYCLES_BY_NAME, cycles_later

ASK_AGAIN: Final = timedelta(seconds=3)  # after a worker was asked and the cycle has not run


@transaction.atomic
def cycles_wake(*, portfolio_ids: Iterable[int], now: datetime, why: str, force_all: bool = False) -> None:
    """Ask for a copy cycle of each portfolio soon; sent to the workers once the transaction commits.

    :param force_all: place every target anew though no trader moved (a setting or the follows changed)
    """
    wanted = CycleState.objects.filter(portfolio_id__in=set(portfolio_ids))
    asked = dict(
        wanted.select_for_update().order_by("pk").values_list("pk", "asked_at")
    )  # two wakes never cross
    if not asked:
        return
    forced = {"forced_all": True} if force_all else {}
    wanted.update(wanted_at=now, wanted_why=why[:120], **forced)
    to_ask = [pk for pk, asked_at in asked.items() if asked_at is None or asked_at <= now - ASK_AGAIN]
    if len(to_ask) <= CYCLES_BY_NAME:  # of many, each is marked by the worker that takes it
        CycleState.objects.filter(pk__in=to_ask).update(asked_at=now)
    transaction.on_commit(partial(cycles_later, to_ask))


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
