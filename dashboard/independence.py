"""How many independent traders there are, as the pages show it: a line, and a table of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accounts.models import Portfolio
from allocation.domain.independence import Independence, Pair
from allocation.follows import follows_current
from allocation.models import Follow
from core.clock import utc_now
from engine.independence import portfolio_independence


@dataclass(frozen=True, slots=True)
class PairRow:
    """One trader against each of the others; None stands for itself."""

    follow: Follow
    cells: tuple[tuple[Follow, Pair | None], ...]


def independence_shown(*, portfolio: Portfolio) -> dict[str, Any]:
    """Return ``independence`` and ``pair_rows`` for a template; both empty where nobody is active."""
    found = portfolio_independence(portfolio=portfolio, now=utc_now())
    return {"independence": found if found.count else None, "pair_rows": _rows(portfolio, found)}


def _rows(portfolio: Portfolio, found: Independence) -> tuple[PairRow, ...]:
    pairs = {frozenset((pair.one, pair.other)): pair for pair in found.pairs}
    measured = {number for pair in found.pairs for number in (pair.one, pair.other)}
    follows = [follow for follow in follows_current(portfolio_id=portfolio.pk) if follow.pk in measured]
    return tuple(
        PairRow(
            follow=one,
            cells=tuple((other, pairs.get(frozenset((one.pk, other.pk)))) for other in follows),
        )
        for one in follows
    )
