"""The one document that page, API and socket share: a portfolio as it stands in the database.

``portfolio_view`` reads with a constant number of queries, whatever the number of positions.
Decimals are strings, times ISO-8601 UTC; its shape is described in ``docs/live-view.md``.
"""

from __future__ import annotations

from accounts.models import Portfolio
from accounts.reading import consistent_read
from core.clock import utc_now
from core.events import PortfolioView
from engine import view_books, view_breakers, view_traders
from engine.view_context import ViewContext, context_read, context_reprice


def portfolio_view(*, portfolio: Portfolio) -> PortfolioView:
    """Return the whole view of a portfolio that was fetched through its owner."""
    return view_build(context=portfolio_reading(portfolio=portfolio))


def portfolio_reading(*, portfolio: Portfolio, last: ViewContext | None = None) -> ViewContext:
    """Return everything the view is made of, as of one moment; ``view_build`` writes it down.

    :param last: an earlier reading; its books are taken over if nothing was booked since
    """
    with consistent_read():
        return context_read(portfolio=portfolio, now=utc_now(), last=last)


def portfolio_repriced(*, reading: ViewContext) -> ViewContext:
    """Return a reading at the prices of now, for a seventh of the cost of reading the books again."""
    return context_reprice(context=reading, now=utc_now())


def view_build(*, context: ViewContext) -> PortfolioView:
    """Assemble the sections from what was read."""
    return {
        "portfolio": view_books.portfolio_record(context),
        "kpis": view_books.kpis_record(context),
        "capital": view_books.capital_record(context),
        "breakers": view_breakers.breakers_record(context),
        "curve": view_traders.curve_record(context),
        "health": view_books.health_record(context),
        "traders": view_traders.traders_section(context),
        "positions": view_books.positions_section(context),
        "conflicts": view_traders.conflicts_section(context),
        "orders": view_books.orders_section(context),
        "commands": view_books.commands_section(context),
        "activity": view_traders.activity_section(context),
    }
