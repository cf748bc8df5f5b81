"""Measuring copied fills against their traders' own prices, set-based and off the path of booking (BEY-2).

Every few seconds what is not measured yet is measured, each trader's part of a fill once, and the figures of
the traders concerned are worked out anew.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import connection, transaction

from engine.domain.fidelity import MEASURED, fill_measure
from engine.models import FillFidelity, FollowFidelity
from engine.publishing import portfolios_changed
from markets.models import World

logger = logging.getLogger(__name__)
FIDELITY_SPAN: Final = timedelta(days=30)
MEASURED_AT_ONCE: Final = 2000
LATE_FILLS: Final = timedelta(hours=1)  # a fill may still be told so long after its order ended


def fills_measure(*, now: datetime) -> int:
    """Measure the copied fills that were booked since the last time; return how many parts.

    Safe to run at once and again: a part is measured once.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_UNMEASURED, {"limit": MEASURED_AT_ONCE})
            names = [column.name for column in cursor.description or ()]
            found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        rows = [_row(part) for part in found]
        FillFidelity.objects.bulk_create(rows, ignore_conflicts=True)
        if len(found) < MEASURED_AT_ONCE:
            with connection.cursor() as cursor:
                cursor.execute(_DONE, {"before": now - LATE_FILLS})
        fidelity_summarise(follow_ids={row.follow_id for row in rows}, now=now)
    portfolios_changed(portfolio_ids=sorted({part["portfolio_id"] for part in found}))
    return len(rows)


def _row(part: dict[str, Any]) -> FillFidelity:
    quantity: Decimal = part["quantity"]
    parts = fill_measure(
        side_up=quantity > 0,
        own_price=part["own_price"],
        decision_mark=part["decision_mark"],
        price=part["price"],
        quantity=abs(quantity),
        fee=part["fee"],
    )
    return FillFidelity(
        fill_id=part["fill_id"],
        copied_id=part["copied_id"],
        follow_id=part["follow_id"],
        run=part["run"],
        world_at=part["world_at"],
        quantity=quantity,
        delay_bps=parts.delay_bps,
        execution_bps=parts.execution_bps,
        fee_bps=parts.fee_bps,
        whole_bps=parts.whole_bps,
    )


def fidelity_summarise(*, follow_ids: Collection[int] | None = None, now: datetime) -> None:
    """Work out the figures of these follows over the last 30 days of world time, in their world's run now.

    One statement, whatever their number.

    :param follow_ids: None is all, and figures that nothing stands behind any more are forgotten
    """
    if follow_ids is not None and not follow_ids:
        return
    worlds = list(World.objects.order_by("name"))
    values = {
        "ids": None if follow_ids is None else list(follow_ids),
        "kinds": [kind.value for kind in MEASURED],
        "worlds": [world.name for world in worlds],
        "runs": [world.run for world in worlds],
        "since": [world.clock().at(now) - FIDELITY_SPAN for world in worlds],
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(_SUMMARISE, values)
    if follow_ids is None:
        FollowFidelity.objects.filter(updated_at__lt=now).delete()


_UNMEASURED = """
    SELECT e.fill_id, c.order_slice_id AS copied_id, c.follow_id, c.run, c.own_price, e.world_at, e.quantity,
           e.price, e.fee, o.decision_mark, o.portfolio_id
    FROM engine_copiedslice AS c
    JOIN execution_orderslice AS os ON os.id = c.order_slice_id
    JOIN execution_order AS o ON o.id = os.order_id
    JOIN execution_fill AS f ON f.order_id = o.id
    JOIN positions_sliceentry AS e ON e.fill_id = f.id AND e.quantity <> 0
    JOIN positions_positionslice AS s ON s.id = e.slice_id AND s.follow_id = c.follow_id
    LEFT JOIN engine_fillfidelity AS m ON m.fill_id = f.id AND m.copied_id = c.order_slice_id
    WHERE NOT c.done AND m.id IS NULL
    ORDER BY e.id LIMIT %(limit)s
"""
_DONE = """
    UPDATE engine_copiedslice AS c SET done = true
    FROM execution_orderslice AS os JOIN execution_order AS o ON o.id = os.order_id
    WHERE NOT c.done AND os.id = c.order_slice_id AND o.finished_at < %(before)s
"""
_SUMMARISE = """
    INSERT INTO engine_followfidelity AS kept (
        follow_id, run, fills, whole_p50_bps, whole_p95_bps, delay_p50_bps, execution_p50_bps, fee_p50_bps,
        unsized_p50_bps, lag_least_p50_s, lag_most_p50_s, updated_at
    )
    SELECT m.follow_id, m.run, count(*),
           percentile_disc(0.5) WITHIN GROUP (ORDER BY m.whole_bps),
           percentile_disc(0.95) WITHIN GROUP (ORDER BY m.whole_bps),
           percentile_disc(0.5) WITHIN GROUP (ORDER BY m.delay_bps),
           percentile_disc(0.5) WITHIN GROUP (ORDER BY m.execution_bps),
           percentile_disc(0.5) WITHIN GROUP (ORDER BY m.fee_bps),
           percentile_disc(0.5) WITHIN GROUP (ORDER BY c.unsized_bps),
           percentile_disc(0.5) WITHIN GROUP (
               ORDER BY round(extract(epoch FROM m.world_at - c.acted_until_at), 3)),
           percentile_disc(0.5) WITHIN GROUP (
               ORDER BY round(extract(epoch FROM m.world_at - c.acted_from_at), 3)),
           %(now)s
    FROM engine_fillfidelity AS m
    JOIN engine_copiedslice AS c ON c.order_slice_id = m.copied_id
    JOIN allocation_follow AS f ON f.id = m.follow_id
    JOIN accounts_portfolio AS p ON p.id = f.portfolio_id
    JOIN unnest(%(worlds)s::text[], %(runs)s::int[], %(since)s::timestamptz[]) AS w(name, run, since)
        ON w.name = p.world AND w.run = m.run AND m.world_at >= w.since
    WHERE c.price_kind = ANY(%(kinds)s)
      AND (%(ids)s::bigint[] IS NULL OR m.follow_id = ANY(%(ids)s::bigint[]))
    GROUP BY m.follow_id, m.run
    ON CONFLICT (follow_id) DO UPDATE SET
        run = excluded.run, fills = excluded.fills, whole_p50_bps = excluded.whole_p50_bps,
        whole_p95_bps = excluded.whole_p95_bps, delay_p50_bps = excluded.delay_p50_bps,
        execution_p50_bps = excluded.execution_p50_bps, fee_p50_bps = excluded.fee_p50_bps,
        unsized_p50_bps = excluded.unsized_p50_bps, lag_least_p50_s = excluded.lag_least_p50_s,
        lag_most_p50_s = excluded.lag_most_p50_s, updated_at = excluded.updated_at
"""
