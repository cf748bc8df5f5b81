"""Faults the paper venue is told to have, so that every way in which a venue fails can be lived through.

A fault is a row, so that every process obeys it, and it counts down to none. Tests and drills tell them;
nothing in the product does.

What they mean, by operation (a row of the table ``MEANINGFUL`` each); stops that rest there are placed,
asked about and taken back with the first three:

    submit   timeout_after: taken, no answer · timeout_before: lost, no answer · late: taken, answered after
             the delay · forget: answered as taken, and never heard of again · refuse · unavailable
    fetch    late: what was true before the delay · repeat: each fill told twice · forget: knows nothing of
             it · unavailable
    cancel   timeout_after · timeout_before · late · forget: knows no such order, and lets it work
             · unavailable
    match    twice: the same execution made twice, beyond the order's quantity · late: executed now, told
             after the delay, also where it was cancelled meanwhile · forget: an unfilled order is gone
             · refuse: rejected though it was accepted · unavailable: nothing is matched this time
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.db import connection

from execution.models import PaperFault

Operation = PaperFault.Operation
Kind = PaperFault.Kind

MEANINGFUL: Final[Mapping[str, frozenset[str]]] = {
    Operation.SUBMIT.value: frozenset(
        {
            Kind.TIMEOUT_AFTER.value,
            Kind.TIMEOUT_BEFORE.value,
            Kind.LATE.value,
            Kind.FORGET.value,
            Kind.REFUSE.value,
            Kind.UNAVAILABLE.value,
        }
    ),
    Operation.FETCH.value: frozenset(
        {Kind.LATE.value, Kind.REPEAT.value, Kind.FORGET.value, Kind.UNAVAILABLE.value}
    ),
    Operation.CANCEL.value: frozenset(
        {
            Kind.TIMEOUT_AFTER.value,
            Kind.TIMEOUT_BEFORE.value,
            Kind.LATE.value,
            Kind.FORGET.value,
            Kind.UNAVAILABLE.value,
        }
    ),
    Operation.MATCH.value: frozenset(
        {
            Kind.TWICE.value,
            Kind.LATE.value,
            Kind.FORGET.value,
            Kind.REFUSE.value,
            Kind.UNAVAILABLE.value,
        }
    ),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is to go wrong now."""

    kind: str
    delay_s: float


def fault_tell(
    *,
    operation: str,
    kind: str,
    account: str = "*",
    times: int = 1,
    skip: int = 0,
    delay_s: float = 0,
) -> PaperFault:
    """Tell the paper venue to fail at its next calls.

    :param account: whose calls ("*": anybody's)
    :param times: how many calls fail, after ``skip`` calls that do not
    :raises ValueError: that operation cannot fail in that way
    """
    if kind not in MEANINGFUL[operation]:
        msg = f"{operation} cannot {kind}; it can {', '.join(sorted(MEANINGFUL[operation]))}"
        raise ValueError(msg)
    return PaperFault.objects.create(
        account=account,
        operation=operation,
        kind=kind,
        remaining=times,
        skip=skip,
        delay_ms=round(delay_s * 1000),
    )


_TAKE_SQL: Final = """
    WITH due AS (
        SELECT id, skip FROM execution_paperfault
        WHERE operation = %s AND account IN ('*', %s) AND remaining > 0
        ORDER BY id LIMIT 1 FOR UPDATE
    )
    UPDATE execution_paperfault AS fault
    SET skip = greatest(due.skip - 1, 0), remaining = fault.remaining - (due.skip = 0)::int
    FROM due WHERE fault.id = due.id
    RETURNING due.skip = 0, fault.kind, fault.delay_ms
"""


def fault_take(*, operation: str, account: str) -> Fault | None:
    """Count this call against the first fault that stands for it; return what is to go wrong, if anything.

    One statement on a table that is empty in the product.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_SQL, [operation, account])
        row = cursor.fetchone()
    if row is None or not row[0]:
        return None
    return Fault(kind=row[1], delay_s=row[2] / 1000)


def faults_stand(*, operation: str) -> bool:
    """Tell whether any account has a fault of an operation before it."""
    return PaperFault.objects.filter(operation=operation, remaining__gt=0).exists()
