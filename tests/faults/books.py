"""What must hold of a site's books after a fault, asked of its database from outside."""

from __future__ import annotations

from tests.faults.site import Site
from tests.running import wait_until

SETTLE_S = 100.0  # an order of which the venue knows nothing is held until its 60 s and 10 more are over
# Orders of one underlying never overlap: the second would double the first. Events are numbered under a lock
# of the portfolio's capital, so their numbers tell what came first; the times are when a task began. An order
# ends with the first end it did not come back from; a fill told late, after the end, is no coming back.
_DOUBLED = """
WITH life AS (
    SELECT o.id, o.portfolio_id, o.underlying, min(event.id) AS begun,
           min(event.id) FILTER (WHERE event.to_status = ANY(%(ended)s) AND event.id > (
               SELECT max(alive.id) FROM execution_orderevent AS alive
               WHERE alive.order_id = o.id AND alive.to_status <> ALL(%(ended)s) AND NOT EXISTS (
                   SELECT FROM execution_orderevent AS at_once WHERE at_once.order_id = o.id
                   AND at_once.id > alive.id AND at_once.at = alive.at
                   AND at_once.to_status = ANY(%(ended)s)))) AS over
    FROM execution_order AS o JOIN execution_orderevent AS event ON event.order_id = o.id
    GROUP BY o.id
)
SELECT one.id, other.id, one.underlying FROM life AS one JOIN life AS other
  ON other.portfolio_id = one.portfolio_id AND other.underlying = one.underlying AND other.begun > one.begun
 AND (one.over IS NULL OR other.begun < one.over)
"""
_ENDED = ["filled", "cancelled", "rejected", "expired"]
_SENT_AS_OTHERS = """
SELECT o.id FROM execution_paperorder AS paper JOIN execution_order AS o USING (client_order_id)
 WHERE (paper.side, paper.quantity, paper.limit_price, paper.instrument_code)
    <> (o.side, o.quantity, o.limit_price, o.instrument_id)
"""
_UNSETTLED = {
    "orders of unknown outcome": "SELECT count(*) FROM execution_order WHERE status = 'unknown'",
    "orders claimed and never answered": (
        "SELECT count(*) FROM execution_order "
        "WHERE status = 'pending' AND submit_claimed_at < now() - interval '13 s'"
    ),
    "orders alive beyond their time": (
        "SELECT count(*) FROM execution_order WHERE expires_at < now() - interval '15 s' "
        "AND status IN ('pending', 'submitted', 'partially_filled', 'unknown')"
    ),
    "fills of the venue not booked": (
        "SELECT count(*) FROM execution_paperfill AS made WHERE made.at < now() - interval '5 s' "
        "AND made.told_at IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM execution_fill WHERE venue_fill_id = made.id::text)"
    ),
    "reservations not given back": (
        "SELECT count(*) FROM allocation_reservation "
        "WHERE status = 'granted' AND expires_at < now() - interval '12 s'"
    ),
    "traders that fail": "SELECT count(*) FROM traders_trader WHERE failures_in_row > 0",
    "cycles overdue": "SELECT count(*) FROM engine_cyclestate WHERE next_at < now() - interval '8 s'",
}


def unsettled(site: Site) -> dict[str, int]:
    """Return what is still hanging, by what it is."""
    counts = {what: site.one(sql) for what, sql in _UNSETTLED.items()}
    return {what: count for what, count in counts.items() if count}


def books_are_clean(site: Site, *, timeout_s: float = SETTLE_S) -> None:
    """OPS-2: nothing hangs, nothing was ordered or sent twice, every record agrees with its counterpart."""
    try:
        wait_until(lambda: not unsettled(site), timeout_s=timeout_s, what="an end of what was interrupted")
    except AssertionError as error:
        raise AssertionError(f"{error}: {unsettled(site)}") from None
    for what, sql in (("ordered twice", _DOUBLED), ("sent as others", _SENT_AS_OTHERS)):
        found = site.rows(sql, {"ended": _ENDED})
        assert found == [], f"{what}: {found[:10]}"
    audit = site.manage("audit_books")
    assert audit.returncode == 0, audit.stdout + audit.stderr
