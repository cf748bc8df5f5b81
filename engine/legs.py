"""Legs that are let go: what the traders hold now stays uncopied until they close, flip or add (EXE-8)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from django.db.models import F, QuerySet

from allocation.models import FollowLeg
from core.decimals import ZERO


def legs_forget(
    *,
    portfolio_id: int,
    now: datetime,
    underlyings: Iterable[str] | None = None,
    follow_ids: Iterable[int] | None = None,
) -> None:
    """Leave what was copied uncopied from now on, so that what is closed as a whole is not bought again.

    Call it with the capital row held, in the transaction that stores the exits.

    :param underlyings: of these alone; ``follow_ids``: of these traders alone; None is all
    """
    legs = FollowLeg.objects.filter(follow__portfolio_id=portfolio_id)
    if underlyings is not None:
        legs = legs.filter(underlying__in=list(underlyings))
    if follow_ids is not None:
        legs = legs.filter(follow_id__in=list(follow_ids))
    _let_go(legs, now=now)


def legs_forget_many(*, portfolios: Mapping[str, Collection[int]], now: datetime) -> None:
    """Leave uncopied what is closed as a whole in many portfolios, whose capital rows are held.

    :param portfolios: their ids by the underlying that each closes
    """
    for underlying, portfolio_ids in sorted(portfolios.items()):
        legs = FollowLeg.objects.filter(underlying=underlying, follow__portfolio_id__in=portfolio_ids)
        _let_go(legs, now=now)


def _let_go(legs: QuerySet[FollowLeg], *, now: datetime) -> None:
    legs.update(
        ignored_quantity=F("ignored_quantity") + F("trader_quantity"),
        trader_quantity=ZERO,
        target_notional=ZERO,
        target_quantity=ZERO,
        updated_at=now,
    )
