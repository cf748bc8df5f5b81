"""The books audit (OPS-2): proof that all records of the same money and the same quantities agree.

Checks run over one snapshot of the database, so bookings may go on meanwhile. A difference is
reported, never mended.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction

from allocation.audit import CAPITAL_CHECKS, Check, Finding, account_check, checks_run
from execution.audit import EXECUTION_CHECKS

__all__ = ["Finding", "books_audit"]

SETTLING: Final = timedelta(
    seconds=60
)  # while trading goes on, a venue's fill may take this long into our books

_OF_PORTFOLIO: Final = "(%(portfolio_id)s::bigint IS NULL OR p.portfolio_id = %(portfolio_id)s)"


def _positions(what: str, where: str = "true") -> str:
    return (
        f"coalesce((SELECT sum({what}) FROM positions_position AS p "  # noqa: S608 - constants
        f"WHERE p.portfolio_id = account.portfolio_id AND {where}), 0)"
    )


def _ledger(kinds: str) -> str:
    return (
        "coalesce((SELECT sum(entry.amount) FROM allocation_ledgerentry AS entry "  # noqa: S608 - constants
        f"WHERE entry.portfolio_id = account.portfolio_id AND entry.kind IN ({kinds})), 0)"
    )


_ORDERS_HOLD: Final = (
    "coalesce((SELECT sum(o.committed) FROM execution_order AS o "
    "WHERE o.portfolio_id = account.portfolio_id), 0)"
)

_MONEY_CHECKS: Final = (
    account_check(
        kind="committed_is_held",
        column="account.committed",
        total=f"({_ORDERS_HOLD} + {_positions('p.margin')})",
        what="committed capital against what orders and margin hold",
    ),
    account_check(
        kind="deployed_is_cost",
        column="account.deployed",
        total=_positions("p.cost", "p.policy = 'spot'"),
        what="deployed capital against the cost of spot holdings",
    ),
    account_check(
        kind="ledger_realized",
        column=_ledger("'realized'"),
        total=_positions("p.realized_pnl", "p.policy = 'perp'"),
        what="realized P&L in the ledger against perpetual positions",
    ),
    account_check(
        kind="ledger_trades",
        column=_ledger("'purchase', 'sale'"),
        total=_positions("p.realized_pnl - p.cost", "p.policy = 'spot'"),
        what="spot purchases and sales in the ledger against spot positions",
    ),
    account_check(
        kind="ledger_fees",
        column=_ledger("'fee'"),
        total=_positions("-p.fees"),
        what="fees in the ledger against positions",
    ),
    account_check(
        kind="ledger_funding",
        column=_ledger("'funding'"),
        total=_positions("p.funding"),
        what="funding in the ledger against positions",
    ),
)


def _slices_check(column: str, label: str) -> Check:
    """Return a check that a column of a position, or an expression over it, is the sum over its slices."""
    of_slices = " ".join(f"s.{word}" if word not in "+-" else word for word in column.split())
    of_position = " ".join(f"p.{word}" if word not in "+-" else word for word in column.split())
    return Check(
        f"slices_{label}",
        f"""
        SELECT p.portfolio_id, {of_position}, coalesce(sum({of_slices}), 0),
               '{column} of position ' || p.id || ' (' || p.underlying || ') against its slices'
        FROM positions_position AS p LEFT JOIN positions_positionslice AS s ON s.position_id = p.id
        WHERE {_OF_PORTFOLIO}
        GROUP BY p.id HAVING coalesce(sum({of_slices}), 0) <> {of_position}
        """,  # noqa: S608 - constants of this module
    )


def _entries_check(column: str, entries: str, label: str) -> Check:
    """Return a check that an expression over a slice is the sum over its entries."""
    return Check(
        f"entries_{label}",
        f"""
        SELECT p.portfolio_id, coalesce(sum({entries}), 0), {column},
               '{label} of slice ' || s.id || ' (' || p.underlying || ') against its entries'
        FROM positions_positionslice AS s
        JOIN positions_position AS p ON p.id = s.position_id
        LEFT JOIN positions_sliceentry AS e ON e.slice_id = s.id
        WHERE {_OF_PORTFOLIO}
        GROUP BY s.id, p.id HAVING coalesce(sum({entries}), 0) <> {column}
        """,  # noqa: S608
    )


_BOOK_CHECKS: Final = (
    _slices_check("quantity", "quantity"),
    _slices_check("realized_pnl - cost", "result"),
    _slices_check("fees", "fees"),
    _slices_check("funding", "funding"),
    _entries_check("s.quantity", "e.quantity", "quantity"),
    _entries_check("s.realized_pnl - s.cost", "-e.notional", "result"),
    _entries_check("s.realized_pnl", "e.realized_pnl", "realized"),
    _entries_check("s.fees", "e.fee", "fees"),
    _entries_check("s.funding", "e.funding", "funding"),
    Check(
        "position_is_its_fills",
        f"""
        SELECT p.portfolio_id, coalesce(sum(e.quantity), 0), p.quantity,
               'quantity of position ' || p.id || ' (' || p.underlying || ') against its fills'
        FROM positions_position AS p
        LEFT JOIN positions_positionslice AS s ON s.position_id = p.id
        LEFT JOIN positions_sliceentry AS e ON e.slice_id = s.id AND e.kind = 'fill'
        WHERE {_OF_PORTFOLIO}
        GROUP BY p.id HAVING coalesce(sum(e.quantity), 0) <> p.quantity
        """,  # noqa: S608
    ),
    Check(
        "position_result_is_its_fills",
        f"""
        SELECT p.portfolio_id, -coalesce(sum(e.notional), 0), p.realized_pnl - p.cost,
               'realized - cost of position ' || p.id || ' (' || p.underlying || ') against its fills'
        FROM positions_position AS p
        LEFT JOIN positions_positionslice AS s ON s.position_id = p.id
        LEFT JOIN positions_sliceentry AS e ON e.slice_id = s.id AND e.kind = 'fill'
        WHERE {_OF_PORTFOLIO}
        GROUP BY p.id HAVING -coalesce(sum(e.notional), 0) <> p.realized_pnl - p.cost
        """,  # noqa: S608
    ),
    Check(
        "fill_is_distributed",
        f"""
        SELECT p.portfolio_id, p.kept * p.sign, p.booked,
               'fill ' || p.id || ' at ' || p.price || ', fee ' || p.fee
               || ', against the slices it went to, worth ' || p.notional || ', fees ' || p.fees
        FROM (
            SELECT fill.id, o.portfolio_id, fill.quantity, fill.price, fill.fee,
                   coalesce(fill.booked_quantity, fill.quantity) AS kept,
                   CASE o.side WHEN 'BUY' THEN 1 ELSE -1 END AS sign,
                   coalesce(sum(e.quantity), 0) AS booked, coalesce(sum(e.notional), 0) AS notional,
                   coalesce(sum(e.fee), 0) AS fees
            FROM execution_fill AS fill JOIN execution_order AS o ON o.id = fill.order_id
            LEFT JOIN positions_sliceentry AS e ON e.fill_id = fill.id
            GROUP BY fill.id, o.id
        ) AS p
        WHERE {_OF_PORTFOLIO} AND (
            p.booked <> p.kept * p.sign OR p.fees <> p.fee
            OR abs(p.notional - p.quantity * p.price * p.sign) > 0.000000005
        )
        """,  # noqa: S608
    ),
    Check(
        "transfer_has_two_sides",
        f"""
        SELECT p.portfolio_id, 0, sum(e.quantity), 'the two sides of transfer ' || e.transfer_id
        FROM positions_sliceentry AS e
        JOIN positions_positionslice AS s ON s.id = e.slice_id
        JOIN positions_position AS p ON p.id = s.position_id
        WHERE {_OF_PORTFOLIO} AND e.transfer_id IS NOT NULL
        GROUP BY p.portfolio_id, e.transfer_id
        HAVING sum(e.quantity) <> 0 OR sum(e.notional) <> 0 OR count(*) <> 2 OR count(DISTINCT p.id) <> 1
        """,  # noqa: S608
    ),
    Check(
        "open_position_holds_something",
        f"""
        SELECT p.portfolio_id, coalesce(sum(abs(s.quantity)), 0), abs(p.quantity),
               'position ' || p.id || ' (' || p.underlying || ') is ' || p.status
               || '; what its slices hold against it'
        FROM positions_position AS p LEFT JOIN positions_positionslice AS s ON s.position_id = p.id
        WHERE {_OF_PORTFOLIO}
        GROUP BY p.id
        HAVING (p.status = 'closed') <> (p.quantity = 0 AND coalesce(bool_and(s.quantity = 0), true))
        """,  # noqa: S608
    ),
)


# Positions against holdings. Fills that only one side has are told by checks of their own and left out here.
_PAPER_CHECK: Final = Check(
    "paper_holding_is_position",
    """
    SELECT p.portfolio_id, sum(p.quantity), sum(p.held),
           'positions in ' || p.code || ' against what the paper venue holds'
    FROM (
        SELECT split_part(account, ':', 2)::bigint AS portfolio_id, instrument_code AS code,
               0 AS quantity, quantity AS held
        FROM execution_paperholding
        UNION ALL
        SELECT position.portfolio_id, position.instrument_id, position.quantity, 0
        FROM positions_position AS position
        JOIN accounts_portfolio AS portfolio ON portfolio.id = position.portfolio_id
        WHERE position.status <> 'closed' AND portfolio.mode = 'paper'
        UNION ALL
        SELECT o.portfolio_id, paper.instrument_code,
               CASE paper.side WHEN 'BUY' THEN made.quantity ELSE -made.quantity END, 0
        FROM execution_paperfill AS made
        JOIN execution_paperorder AS paper ON paper.id = made.paper_order_id
        JOIN execution_order AS o ON o.client_order_id = paper.client_order_id
        WHERE NOT EXISTS (
            SELECT 1 FROM execution_fill AS fill
            WHERE fill.venue = 'paper' AND fill.venue_fill_id = made.id::text
        )
        UNION ALL
        SELECT o.portfolio_id, o.instrument_id,
               CASE o.side WHEN 'BUY' THEN -fill.quantity ELSE fill.quantity END, 0
        FROM execution_fill AS fill JOIN execution_order AS o ON o.id = fill.order_id
        WHERE fill.venue = 'paper' AND NOT EXISTS (
            SELECT 1 FROM execution_paperfill AS made WHERE made.id::text = fill.venue_fill_id
        )
    ) AS p
    WHERE (%(portfolio_id)s::bigint IS NULL OR p.portfolio_id = %(portfolio_id)s)
    GROUP BY p.portfolio_id, p.code HAVING sum(p.quantity) <> sum(p.held)
    """,
)


def books_audit(*, portfolio_id: int | None = None, settled_before: datetime | None = None) -> list[Finding]:
    """Compare every record of money and quantities with its counterpart; empty when the books are clean.

    :param portfolio_id: one portfolio, or all
    :param settled_before: wall time; fills that the venue made later may still be on their way into our
        books. None: all must be booked.
    """
    checks = (*CAPITAL_CHECKS, *EXECUTION_CHECKS, *_MONEY_CHECKS, *_BOOK_CHECKS, _PAPER_CHECK)
    alone = not connection.in_atomic_block
    with transaction.atomic():
        if alone:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return checks_run(checks=checks, portfolio_id=portfolio_id, settled_before=settled_before)
