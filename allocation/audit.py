"""Proof of the capital account: each check is one statement returning what differs, nothing when all is well.

``positions.audit`` runs the checks of all packages over one snapshot of the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db import connection


@dataclass(frozen=True, slots=True)
class Finding:
    """Two records of the same thing that differ.

    :param kind: name of the check
    :param detail: what was compared, for a person
    """

    kind: str
    portfolio_id: int | None
    expected: Decimal | None
    found: Decimal | None
    detail: str


@dataclass(frozen=True, slots=True)
class Check:
    """A promise, and the statement that returns (portfolio, expected, found, detail) wherever it is broken.

    The statement may use %(portfolio_id)s (null: all portfolios) and %(settled_before)s.
    """

    kind: str
    sql: str


def checks_run(
    *, checks: Sequence[Check], portfolio_id: int | None, settled_before: datetime | None
) -> list[Finding]:
    """Run checks on the current connection.

    :param settled_before: wall time; what happened after it may still be on its way (None: nothing)
    """
    findings: list[Finding] = []
    values = {"portfolio_id": portfolio_id, "settled_before": settled_before}
    with connection.cursor() as cursor:
        for check in checks:
            cursor.execute(check.sql, values)
            findings += [Finding(check.kind, *row) for row in cursor.fetchall()]
    return findings


_ACCOUNTS: Final = """
FROM allocation_capitalaccount AS account
{joins}
WHERE (%(portfolio_id)s::bigint IS NULL OR account.portfolio_id = %(portfolio_id)s) AND {differs}
"""


def account_check(*, kind: str, column: str, total: str, what: str, joins: str = "") -> Check:
    """Return a check that an expression over the account equals a scalar subquery."""
    where = _ACCOUNTS.format(joins=joins, differs=f"{column} <> {total}")
    return Check(kind, f"SELECT account.portfolio_id, {total}, {column}, '{what}' {where}")


def _ledger(what: str, where: str = "true") -> str:
    return (
        f"coalesce((SELECT sum({what}) FROM allocation_ledgerentry AS entry "  # noqa: S608 - constants
        f"WHERE entry.portfolio_id = account.portfolio_id AND {where}), 0)"
    )


_LAST_RESET: Final = (
    "coalesce((SELECT max(reset.id) FROM allocation_ledgerentry AS reset "
    "WHERE reset.portfolio_id = account.portfolio_id AND reset.kind = 'reset'), 0)"
)
# After a reset the deposits are what the reset left in cash, and the flows since.
_DEPOSITS: Final = _ledger(
    "entry.amount", f"(entry.id <= {_LAST_RESET} OR entry.kind IN ('deposit', 'withdrawal'))"
)

CAPITAL_CHECKS: Final = (
    account_check(
        kind="cash_is_ledger",
        column="account.cash - account.deficit",
        total=_ledger("entry.amount"),
        what="cash less deficit against the sum of ledger entries",
    ),
    account_check(
        kind="cash_has_parts",
        column="account.cash",
        total="(account.free + account.reserved + account.committed)",
        what="cash against free + reserved + committed",
    ),
    account_check(
        kind="reserved_is_granted",
        column="account.reserved",
        total="coalesce((SELECT sum(held.amount) FROM allocation_reservation AS held "
        "WHERE held.portfolio_id = account.portfolio_id AND held.status = 'granted'), 0)",
        what="reserved capital against the granted reservations",
    ),
    account_check(
        kind="units_are_flows",
        column="account.units",
        total=_ledger("entry.units"),
        what="fund units against the units of the ledger",
    ),
    account_check(
        kind="deposits_are_flows",
        column="account.deposits_net",
        total=_DEPOSITS,
        what="net deposits against the flows of the ledger",
    ),
    Check(
        "weights_are_one",
        """
        SELECT follow.portfolio_id, 1, sum(follow.weight), 'sum of the weights of the active follows'
        FROM allocation_follow AS follow
        WHERE (%(portfolio_id)s::bigint IS NULL OR follow.portfolio_id = %(portfolio_id)s)
        GROUP BY follow.portfolio_id
        HAVING count(*) FILTER (WHERE follow.status = 'active') > 0
           AND (sum(follow.weight) FILTER (WHERE follow.status = 'active') <> 1 OR sum(follow.weight) <> 1)
        """,
    ),
)
