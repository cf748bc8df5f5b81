"""Following, pausing, arranging and leaving traders; the weights that result (FOL-1, ALL-1, ALL-2).

Every function here changes rows of one portfolio and holds that portfolio's capital row meanwhile,
so that two changes of the same set of follows happen one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db import transaction
from django.db.models import F

from accounts.models import Portfolio
from allocation.domain.weights import WEIGHT_STEP, chosen_weights, shares_checked
from allocation.locks import capital_lock
from allocation.models import Follow
from core.decimals import ZERO, to_step
from core.errors import InputError, NotFound
from traders.models import Trader

MAX_FOLLOWS: Final = 10


def follows_current(*, portfolio_id: int) -> list[Follow]:
    """Return the portfolio's follows that have not been removed, in their order, with their traders."""
    return list(
        Follow.objects.filter(portfolio_id=portfolio_id)
        .exclude(status=Follow.Status.REMOVED)
        .select_related("trader")
        .order_by("place", "id")
    )


def trader_is_followed(*, trader_id: int) -> bool:
    """Tell whether any portfolio follows a trader, paused and leaving follows included."""
    return Follow.objects.filter(trader_id=trader_id).exclude(status=Follow.Status.REMOVED).exists()


@transaction.atomic
def follow_create(*, portfolio: Portfolio, trader: Trader, join_mode: str, now: datetime) -> Follow:
    """Add a trader at the end of the portfolio's list and split the weights anew.

    The first follow fixes the portfolio's world.

    :raises InputError: already followed, an eleventh trader, or a trader of another world
    :raises NotFound: somebody else's private trader
    """
    if trader.owner_id not in (None, portfolio.owner_id):
        raise NotFound(f"There is no trader {trader.key!r}.", field="key")
    capital_lock(portfolio_id=portfolio.pk)
    follows = follows_current(portfolio_id=portfolio.pk)
    if any(follow.trader_id == trader.pk for follow in follows):
        raise InputError(
            f"{trader.name} is followed already. Each trader can be followed once per portfolio.", field="key"
        )
    if len(follows) >= MAX_FOLLOWS:
        raise InputError(
            f"You follow {MAX_FOLLOWS} traders already, which is the most a portfolio can hold. "
            "Remove one first, or follow this one in another portfolio.",
            field="key",
        )
    world_fix(portfolio=portfolio, trader=trader)
    used_hues = {follow.hue for follow in follows}
    follow = Follow.objects.create(
        portfolio=portfolio,
        trader=trader,
        join_mode=join_mode,
        place=max((follow.place for follow in follows), default=0) + 1,
        hue=next(hue for hue in range(1, MAX_FOLLOWS + 1) if hue not in used_hues),
        created_at=now,
    )
    weights_split(portfolio_id=portfolio.pk)
    follow.refresh_from_db()
    return follow


def world_fix(*, portfolio: Portfolio, trader: Trader) -> None:
    """Tie a portfolio to the world of its first trader, or refuse a trader of another world.

    :raises InputError: the portfolio lives in another world
    """
    tied = Portfolio.objects.filter(pk=portfolio.pk, world="").update(world=trader.world)
    portfolio.refresh_from_db(fields=["world"])
    if not tied and portfolio.world != trader.world:
        raise InputError(
            f"This portfolio lives in the world “{portfolio.world}”, {trader.name} in “{trader.world}”. "
            "Prices of two worlds cannot be mixed: follow this trader in another portfolio.",
            field="key",
        )


@transaction.atomic
def follow_pause(*, follow: Follow, by_owner: bool) -> None:
    """Stop entries for one trader; reductions and exits go on. Its share goes to the others.

    What is left of it keeps its copy stop-loss, against the share it had. Pausing a paused follow changes
    nothing.

    :param by_owner: rather than by its copy stop-loss
    """
    capital_lock(portfolio_id=follow.portfolio_id)
    Follow.objects.filter(pk=follow.pk, status=Follow.Status.ACTIVE).update(
        status=Follow.Status.PAUSED, paused_weight=F("weight"), paused_by_owner=by_owner
    )
    weights_split(portfolio_id=follow.portfolio_id)
    follow.refresh_from_db()


@transaction.atomic
def follow_resume(*, follow: Follow, now: datetime) -> None:
    """Give a paused trader its share again.

    ``resumed_at`` tells the next cycle to leave out what was opened meanwhile.
    """
    capital_lock(portfolio_id=follow.portfolio_id)
    Follow.objects.filter(pk=follow.pk, status=Follow.Status.PAUSED).update(
        status=Follow.Status.ACTIVE, resumed_at=now, paused_weight=ZERO, paused_by_owner=False
    )
    weights_split(portfolio_id=follow.portfolio_id)
    follow.refresh_from_db()


@transaction.atomic
def follow_leave(*, follow: Follow) -> None:
    """Begin to leave a trader: its share goes to the others, its slices are closed by the next cycles."""
    capital_lock(portfolio_id=follow.portfolio_id)
    Follow.objects.filter(pk=follow.pk).exclude(status=Follow.Status.REMOVED).update(
        status=Follow.Status.LEAVING
    )
    weights_split(portfolio_id=follow.portfolio_id)
    follow.refresh_from_db()


@transaction.atomic
def follow_end(*, follow: Follow, now: datetime) -> None:
    """Close the chapter of a trader whose slices are all gone; the row stays for history."""
    capital_lock(portfolio_id=follow.portfolio_id)
    Follow.objects.filter(pk=follow.pk).exclude(status=Follow.Status.REMOVED).update(
        status=Follow.Status.REMOVED, removed_at=now
    )
    weights_split(portfolio_id=follow.portfolio_id)
    follow.refresh_from_db()


@transaction.atomic
def follows_arrange(*, portfolio: Portfolio, follow_ids: Sequence[int]) -> None:
    """Put the portfolio's follows in the given order, which must name each of them once.

    :raises InputError: one is missing, unknown, or named twice
    """
    capital_lock(portfolio_id=portfolio.pk)
    follows = {follow.pk: follow for follow in follows_current(portfolio_id=portfolio.pk)}
    if sorted(follow_ids) != sorted(follows):
        raise InputError(
            f"The order must name each followed trader once: {sorted(follows)}, got {sorted(follow_ids)}.",
            field="order",
        )
    for place, follow_id in enumerate(follow_ids, start=1):
        follows[follow_id].place = place
    Follow.objects.bulk_update(follows.values(), ["place"])
    weights_split(portfolio_id=portfolio.pk)


@transaction.atomic
def weights_choose(*, portfolio: Portfolio, percents: Mapping[int, Decimal]) -> None:
    """Give each active follow the percentage its owner chose; they count from now on (ALL-2).

    A paused follow keeps the share it had: on resuming, all are scaled to make room for it.

    :param percents: by follow id; each at least 1, to 0.01, summing to exactly 100
    :raises UnableToAllocate: they are not, or name other follows than the active ones
    """
    capital_lock(portfolio_id=portfolio.pk)
    follows = follows_current(portfolio_id=portfolio.pk)
    active = [follow for follow in follows if follow.status == Follow.Status.ACTIVE]
    shares = shares_checked(percents=percents, trader_ids=[follow.pk for follow in active])
    for follow in active:
        follow.custom_weight = shares[follow.pk]
    Follow.objects.bulk_update(active, ["custom_weight"])
    _weighting_set(portfolio, Portfolio.Weighting.CUSTOM)


@transaction.atomic
def weights_equalise(*, portfolio: Portfolio) -> None:
    """Split equally again and forget the chosen percentages."""
    capital_lock(portfolio_id=portfolio.pk)
    Follow.objects.filter(portfolio=portfolio).exclude(custom_weight=None).update(custom_weight=None)
    _weighting_set(portfolio, Portfolio.Weighting.EQUAL)


def _weighting_set(portfolio: Portfolio, weighting: str) -> None:
    portfolio.weighting = weighting
    portfolio.save(update_fields=["weighting"])
    weights_split(portfolio_id=portfolio.pk)


def weights_split(*, portfolio_id: int) -> None:
    """Store the weights of the active follows, 0 for all others. Call with the capital row held.

    Equal ones, or in proportion to what the owner chose; a follow nobody chose a share for gets 1/N, and
    keeps the share that makes it so.
    """
    follows = follows_current(portfolio_id=portfolio_id)
    _shares_fill(follows)
    active = [
        (follow.pk, follow.custom_weight) for follow in follows if follow.status == Follow.Status.ACTIVE
    ]
    weights = chosen_weights(shares=active) if active else ()
    shares = {weight.trader_id: weight.weight for weight in weights}
    for follow in follows:
        follow.weight = shares.get(follow.pk, ZERO)
    Follow.objects.bulk_update(follows, ["weight", "custom_weight"])
    Follow.objects.filter(portfolio_id=portfolio_id, status=Follow.Status.REMOVED).exclude(
        weight=ZERO
    ).update(weight=ZERO)


def _shares_fill(follows: Sequence[Follow]) -> None:
    """Give who joined among chosen shares the mean of them, which comes to 1/N."""
    active = [follow for follow in follows if follow.status == Follow.Status.ACTIVE]
    known = [follow.custom_weight for follow in active if follow.custom_weight is not None]
    for follow in active:
        if known and follow.custom_weight is None:
            follow.custom_weight = to_step(sum(known, ZERO) / len(known), WEIGHT_STEP)
