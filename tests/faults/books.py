"""What must hold of a site's books after a fault, asked of its database from outside."""

from __future__ import annotations

from tests.faults.site import Site
from tests.running import wait_until

SETTLE_S = 100.0  # an order of which the venue knows nothing is held until its 60 s and 10 more are over
# Orders of one underlying never overlap in time: the second would double the first.
_DOUBLED = """
SELECT one.id, other.id, one.underlying FROM execution_order AS one JOIN execution_order AS other
  ON other.portfolio_id = one.portfolio_id AND other.underlying = one.underlying AND other.id > one.id
 AND other.created_at < coalesce(one.finished_at, 'infinity')
"""
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
    assert site.rows(_DOUBLED) == []
    assert site.rows(_SENT_AS_OTHERS) == []
    audit = site.manage("audit_books")
    assert audit.returncode == 0, audit.stdout + audit.stderr
