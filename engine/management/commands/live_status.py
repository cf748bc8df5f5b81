"""`manage.py live_status`: how portfolios stand with their real accounts."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandError

from core.clock import utc_now
from core.decimals import plain
from engine.live.status import LiveStatus, live_data, live_status
from engine.management.terminal import TerminalCommand


class Command(TerminalCommand):
    """Account, conditions, holdings, findings; exit status 1 where a finding stands."""

    help = "How portfolios stand with their real accounts: state, what is missing, what is found there."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        now = utc_now()
        stands = [(one, live_status(portfolio=one, now=now)) for one in self.portfolios(options)]
        if options["json"]:
            rows = [{"portfolio": one.pk, **live_data(status=status)} for one, status in stands]
            self.stdout.write(json.dumps(rows, indent=2))
        else:
            for portfolio, status in stands:
                self.title(portfolio)
                self._tell(status)
        if any(status.findings for _, status in stands):
            raise CommandError("Findings stand; settle them on the page of the account.")

    def _tell(self, status: LiveStatus) -> None:
        account = status.account
        self.stdout.write(f"  {status.badge}" + (f", {account.venue}" if account else ""))
        if account is None:
            return
        cap = account.max_positions or "as its limits say"
        self.stdout.write(f"  assigned {plain(account.assigned)} {account.quote}; positions: {cap}")
        for line in [*account.problems, account.error]:
            if line:
                self.stdout.write(f"  {line}")
        for condition in status.conditions:
            self.stdout.write(f"  [{'x' if condition.met else ' '}] {condition.text}")
        rows = [
            (one.code, plain(one.quantity), plain(one.ours), plain(one.quantity - one.ours))
            for one in status.holdings
        ]
        self.table(["what", ">there", ">ours", ">not ours"], rows, empty="Nothing but cash.")
        for finding in status.findings:
            self.stdout.write(f"  finding {finding.pk}: {finding.text}")
