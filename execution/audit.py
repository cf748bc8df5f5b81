"""Proof of orders and fills, and of the paper venue's own books against ours (see ``allocation.audit``)."""

from __future__ import annotations

from typing import Final

from allocation.audit import Check

_OF_PORTFOLIO: Final = "(%(portfolio_id)s::bigint IS NULL OR o.portfolio_id = %(portfolio_id)s)"

EXECUTION_CHECKS: Final = (
    Check(
        "order_is_its_fills",
        f"""
        SELECT o.portfolio_id, coalesce(sum(fill.quantity), 0), o.filled_quantity,
               'filled quantity of order ' || o.id || ' against its fills'
        FROM execution_order AS o LEFT JOIN execution_fill AS fill ON fill.order_id = o.id
        WHERE {_OF_PORTFOLIO}
        GROUP BY o.id HAVING coalesce(sum(fill.quantity), 0) <> o.filled_quantity
        """,  # noqa: S608 - a constant of this module
    ),
    Check(
        "order_fees_are_its_fills",
        f"""
        SELECT o.portfolio_id, coalesce(sum(fill.fee), 0), o.fees,
               'fees of order ' || o.id || ' against its fills'
        FROM execution_order AS o LEFT JOIN execution_fill AS fill ON fill.order_id = o.id
        WHERE {_OF_PORTFOLIO}
        GROUP BY o.id HAVING coalesce(sum(fill.fee), 0) <> o.fees
        """,  # noqa: S608
    ),
    Check(
        "order_is_its_slices",
        f"""
        SELECT o.portfolio_id, CASE o.side WHEN 'BUY' THEN o.quantity ELSE -o.quantity END,
               coalesce(sum(part.quantity), 0), 'signed quantity of order ' || o.id || ' against its slices'
        FROM execution_order AS o LEFT JOIN execution_orderslice AS part ON part.order_id = o.id
        WHERE {_OF_PORTFOLIO}
        GROUP BY o.id
        HAVING coalesce(sum(part.quantity), 0) <> CASE o.side WHEN 'BUY' THEN o.quantity ELSE -o.quantity END
        """,  # noqa: S608
    ),
    Check(
        "paper_fill_is_booked",
        f"""
        SELECT o.portfolio_id, made.quantity, coalesce(fill.quantity, 0),
               'fill ' || made.id || ' of the paper venue for order ' || o.id || ' at ' || made.price
               || ', fee ' || made.fee || ', against our books: '
               || coalesce('at ' || fill.price || ', fee ' || fill.fee, 'nothing')
        FROM execution_paperfill AS made
        JOIN execution_paperorder AS paper ON paper.id = made.paper_order_id
        JOIN execution_order AS o ON o.client_order_id = paper.client_order_id
        LEFT JOIN execution_fill AS fill ON fill.venue = 'paper' AND fill.venue_fill_id = made.id::text
        WHERE {_OF_PORTFOLIO} AND (
            (fill.id IS NULL AND made.told_at IS NULL
             AND made.at < coalesce(%(settled_before)s, 'infinity'::timestamptz))
            OR (fill.id IS NOT NULL AND (fill.quantity, fill.price, fill.fee, fill.order_id)
                <> (made.quantity, made.price, made.fee, o.id))
        )
        """,  # noqa: S608
    ),
    Check(
        "paper_fill_was_made",
        f"""
        SELECT o.portfolio_id, coalesce(made.quantity, 0), fill.quantity,
               'fill ' || fill.venue_fill_id || ' in our books against the paper venue'
        FROM execution_fill AS fill JOIN execution_order AS o ON o.id = fill.order_id
        LEFT JOIN execution_paperfill AS made ON made.id::text = fill.venue_fill_id
        WHERE {_OF_PORTFOLIO} AND fill.venue = 'paper' AND made.id IS NULL
        """,  # noqa: S608
    ),
    Check(
        "paper_order_is_ours",
        """
        SELECT split_part(paper.account, ':', 2)::bigint, 0, paper.quantity,
               'order ' || paper.client_order_id || ' at the paper venue, which no order of ours knows'
        FROM execution_paperorder AS paper LEFT JOIN execution_order AS o USING (client_order_id)
        LEFT JOIN execution_venueorphan AS orphan
               ON orphan.client_order_id = paper.client_order_id AND orphan.settled_at IS NOT NULL
        WHERE o.id IS NULL AND (orphan.id IS NULL OR orphan.filled_quantity > 0)
          AND (%(portfolio_id)s::bigint IS NULL OR paper.account = 'portfolio:' || %(portfolio_id)s)
        """,
    ),
    Check(
        "paper_holding_is_its_fills",
        """
        SELECT split_part(held.account, ':', 2)::bigint, coalesce(made.quantity, 0), held.quantity,
               'paper holding of ' || held.instrument_code || ' against the venue''s fills'
        FROM execution_paperholding AS held
        LEFT JOIN (
            SELECT paper.account, paper.instrument_code,
                   sum(CASE paper.side WHEN 'BUY' THEN fill.quantity ELSE -fill.quantity END) AS quantity
            FROM execution_paperfill AS fill
            JOIN execution_paperorder AS paper ON paper.id = fill.paper_order_id
            GROUP BY paper.account, paper.instrument_code
        ) AS made USING (account, instrument_code)
        WHERE coalesce(made.quantity, 0) <> held.quantity
          AND (%(portfolio_id)s::bigint IS NULL OR held.account = 'portfolio:' || %(portfolio_id)s)
        """,
    ),
)
