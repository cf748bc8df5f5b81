"""`manage.py reconcile`: settle portfolios with their venue now, and show what was found (EXE-6)."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Portfolio
from core.clock import utc_now
from engine.recovery import Reconciled, portfolio_reconcile

HEAD = f"{'portfolio':>9} {'asked':>6} {'unsettled':>9} {'missed fills':>12} {'strays':>6} {'orphans':>7}"


class Command(BaseCommand):
    """Book what is missing, cancel what is nobody's, tell of both; exit 1 where something was found."""

    help = "Settle orders and fills with the venue: what a start and a crash do, at once."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("portfolio", type=int, nargs="?", help="only this portfolio (default: all)")
        parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")

    def handle(self, *args: Any, **options: Any) -> None:
        """Settle and tell."""
        portfolios = Portfolio.objects.order_by("pk")
        if options["portfolio"] is not None:
            portfolios = portfolios.filter(pk=options["portfolio"])
            if not portfolios:
                raise CommandError(f"There is no portfolio {options['portfolio']}.")
        ids = list(portfolios.values_list("pk", flat=True))
        found = [portfolio_reconcile(portfolio_id=portfolio_id, now=utc_now()) for portfolio_id in ids]
        if options["json"]:
            self.stdout.write(json.dumps([{**asdict(one), "clean": one.clean} for one in found], indent=2))
        else:
            self._table(found)
        unclean = [one.portfolio_id for one in found if not one.clean]
        if unclean:
            raise CommandError(f"Something was found in portfolios {', '.join(map(str, unclean))}.")

    def _table(self, found: list[Reconciled]) -> None:
        self.stdout.write(HEAD)
        for one in found:
            self.stdout.write(
                f"{one.portfolio_id:>9} {len(one.asked):>6} {len(one.unsettled):>9} {one.missed_fills:>12} "
                f"{len(one.strays):>6} {len(one.orphans):>7}  {_told(one)}".rstrip()
            )


def _told(one: Reconciled) -> str:
    parts = [
        f"venue: {one.error}" if one.error else "",
        f"unsettled orders {_list(one.unsettled)}" if one.unsettled else "",
        f"cancelled at the venue: orders {_list(one.strays)}" if one.strays else "",
        f"orphans {_list(one.orphans)}" if one.orphans else "",
    ]
    return "; ".join(part for part in parts if part)


def _list(items: tuple[Any, ...]) -> str:
    return ", ".join(map(str, items))
