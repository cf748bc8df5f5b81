"""`manage.py position_status`: what each portfolio holds, at which price, with what result."""

from __future__ import annotations

from typing import Any

from core.clock import utc_now
from engine.exits.protection import positions_protection
from engine.management.terminal import TerminalCommand, dollars_of
from engine.selectors import portfolio_view
from positions.models import Position


class Command(TerminalCommand):
    """Print the open positions; exit 1 if one has no fresh price or the cycle reports an error."""

    help = "Show the open positions with entry, mark, result and contributing traders."

    def handle(self, *args: Any, **options: Any) -> None:
        """Read the same view as the page."""
        findings: list[str] = []
        documents = []
        for portfolio in self.portfolios(options):
            view = portfolio_view(portfolio=portfolio)
            positions = list(view["positions"].values())
            unwatched = unprotected(portfolio.pk)
            for position in positions:
                position["unprotected_s"] = unwatched.get(position["id"], 0.0)
            found = [
                f"{p['code']} of {portfolio.name} has no fresh price" for p in positions if p["mark_stale"]
            ]
            if error := view["health"]["cycle_error"]:
                found.append(f"the copy cycle of {portfolio.name} stopped: {error}")
            findings += found
            documents.append(
                {"portfolio": portfolio.pk, "name": portfolio.name, "positions": positions, "findings": found}
            )
            if not options["json"]:
                self.title(portfolio)
                self.table(
                    ("number", "instrument", "side", ">quantity", ">entry", ">mark", ">value $", ">share %",
                     ">result $", ">result %", "status", "traders"),
                    [_row(position) for position in positions],
                    empty="No open position.",
                )  # fmt: skip
        if options["json"]:
            self.document(documents)
        self.findings_raise(findings)


def unprotected(portfolio_id: int) -> dict[int, float]:
    """Return the seconds in which nobody watched the prices of each open position (BEY-6)."""
    held = Position.objects.filter(portfolio_id=portfolio_id).exclude(status=Position.Status.CLOSED)
    found = positions_protection(positions=list(held), now=utc_now())
    return {item.position_id: item.unprotected_s for item in found}


def _row(position: dict[str, Any]) -> tuple[object, ...]:
    stale = " stale" if position["mark_stale"] else ""
    return (
        position["id"],
        position["code"],
        position["side"],
        position["quantity"],
        position["entry_price"],
        f"{position['mark_price'] or '–'}{stale}",
        dollars_of(position["notional"]),
        position["share_pct"],
        dollars_of(position["unrealized_pnl"]),
        position["unrealized_pct"],
        position["status"],
        " ".join(f"{part['monogram']} {part['quantity']}" for part in position["slices"]),
    )
