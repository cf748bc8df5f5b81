"""Waking copy cycles: the wish to run is a column in the database, the message is only a hint.

A lost message costs a sweep (``plan.due`` runs every second), never a decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

from django.db import transaction

from allocation.models import Follow
from engine.models import CycleState
from engine.sending import cycles_later


def cycles_wake(
    *,
    portfolio_ids: Iterable[int],
    now: datetime,
    why: str,
    force_all: bool = False,
    force_underlyings: Sequence[str] = (),
) -> None:
    """Ask for a copy cycle of each portfolio soon; sent to the workers once the transaction commits.

    :param force_all: place every target anew though no trader moved (a setting or the follows changed)
    :param force_underlyings: the same for these underlyings only
    """
    ids = sorted(set(portfolio_ids))
    if not ids:
        return
    states = CycleState.objects.filter(portfolio_id__in=ids)
    states.update(wanted_at=now, wanted_why=why[:120], **({"forced_all": True} if force_all else {}))
    if force_underlyings:
        with transaction.atomic():
            for state in states.select_for_update().order_by("pk"):
                state.forced_underlyings = sorted({*state.forced_underlyings, *force_underlyings})
                state.save(update_fields=["forced_underlyings"])
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
