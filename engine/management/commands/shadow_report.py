"""`manage.py shadow_report`: what a portfolio's shadow would have done with real money (BEY-8)."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandError

from core.clock import utc_now
from core.errors import NotFound
from engine.live.report import shadow_report
from engine.management.terminal import TerminalCommand


class Command(TerminalCommand):
    """Orders, fills, fees, results, drawdown and breakers of one shadow."""

    help = "What a portfolio in shadow would have done at its venue since it was connected."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        portfolio = self.one_portfolio(options)
        try:
            report = shadow_report(portfolio=portfolio, now=utc_now())
        except NotFound as error:
            raise CommandError(error.message, returncode=2) from None
        if options["json"]:
            self.stdout.write(json.dumps({"portfolio": portfolio.pk, **report.data}, indent=2))
            return
        self.title(portfolio)
        self.table(["what", ">how much"], report.lines, empty="")
