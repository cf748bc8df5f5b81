"""`manage.py portfolio_dashboard summary|concentration|traders|pairs`: the page's numbers in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from django.core.management.base import CommandParser
from django.db.models import Count, F, Q, Sum

from accounts.models import Portfolio
from core.decimals import ZERO, plain
from core.events import PortfolioView
from engine.management.terminal import TerminalCommand, dollars_of
from engine.selectors import portfolio_view
from positions.models import Position


class Command(TerminalCommand):
    """Print one part of the dashboard; exit 1 if it shows something to look after."""

    help = "Show a portfolio's worth, its concentration, its traders, or its instruments."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the parts."""
        super().add_arguments(parser)
        parser.add_argument("part", choices=sorted(_PARTS), nargs="?", default="summary")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read the same view as the page."""
        findings: list[str] = []
        documents = []
        for portfolio in self.portfolios(options):
            part = _PARTS[options["part"]](portfolio, portfolio_view(portfolio=portfolio))
            findings += [f"{portfolio.name}: {finding}" for finding in part["findings"]]
            documents.append({"portfolio": portfolio.pk, "name": portfolio.name, **part})
            if not options["json"]:
                self.title(portfolio)
                headings, rows = _table(part["rows"])
                self.table(headings, rows, empty=part.get("empty", "Nothing to show."))
        if options["json"]:
            self.document(documents)
        self.findings_raise(findings)


def _table(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return headings and cells of rows that all have the same keys; numbers stand to the right."""
    if not rows:
        return [], []
    right = {key for key, value in rows[0].items() if key not in _WORDS}
    headings = [f">{key.replace('_', ' ')}" if key in right else key.replace("_", " ") for key in rows[0]]
    return headings, [list(row.values()) for row in rows]


_WORDS: Final = frozenset({"what", "instrument", "trader", "kind", "follow", "sync", "side"})


def _summary(portfolio: Portfolio, view: PortfolioView) -> dict[str, Any]:
    kpis, capital, health = view["kpis"], view["capital"], view["health"]
    values = {
        "equity $": dollars_of(kpis["equity"]),
        "today $": dollars_of(kpis["day_pnl"]),
        "today %": kpis["day_pnl_pct"],
        "in all $": dollars_of(kpis["total_pnl"]),
        "in all %": kpis["total_pnl_pct"],
        "drawdown %": kpis["drawdown_pct"],
        "win rate %": kpis["win_rate_pct"],
        "exposure %": kpis["exposure_pct"],
        "exposure limit %": kpis["exposure_limit_pct"],
        "cash $": dollars_of(capital["cash"]),
        "free $": dollars_of(capital["free"]),
        "reserved $": dollars_of(capital["reserved"]),
        "committed $": dollars_of(capital["committed"]),
        "deployed $": dollars_of(capital["deployed"]),
        "open positions": len(view["positions"]),
        "working orders": len(view["orders"]),
        "standing conflicts": len(view["conflicts"]),
        "status": view["portfolio"]["status"],
        "trading mode": view["portfolio"]["trading_mode"],
    }
    findings = []
    if portfolio.status != Portfolio.Status.ACTIVE:
        findings.append(
            f"{portfolio.get_status_display().lower()}: {portfolio.status_reason or 'no reason kept'}"
        )
    if Decimal(capital["deficit"]) > 0:
        findings.append(f"a deficit of ${dollars_of(capital['deficit'])}")
    if health["traders_degraded"]:
        findings.append(f"{health['traders_degraded']} traders cannot be read")
    if health["cycle_error"]:
        findings.append(f"the copy cycle stopped: {health['cycle_error']}")
    return {"rows": [{"what": k, "value": v} for k, v in values.items()], "findings": findings}


def _concentration(portfolio: Portfolio, view: PortfolioView) -> dict[str, Any]:
    """Largest first, with the running sum; a finding where all together exceed the gross limit."""
    positions = sorted(view["positions"].values(), key=lambda p: -Decimal(p["notional"]))
    total = ZERO
    rows = []
    for position in positions:
        share = Decimal(position["share_pct"] or 0)
        total += share
        rows.append(
            {
                "instrument": position["code"],
                "side": position["side"],
                "value_$": dollars_of(position["notional"]),
                "of_equity_%": plain(share),
                "running_%": plain(total),
                "traders": len(position["slices"]),
            }
        )
    limit = Decimal(view["kpis"]["exposure_limit_pct"] or 0)
    found = [f"exposure of {plain(total)} % is above the limit of {plain(limit)} %"] if total > limit else []
    return {"rows": rows, "findings": found, "empty": "No open position."}


def _traders(portfolio: Portfolio, view: PortfolioView) -> dict[str, Any]:
    cards = sorted(view["traders"].values(), key=lambda card: card["order"])
    rows = [
        {
            "trader": card["name"],
            "kind": card["kind"],
            "follow": card["follow_status"],
            "sync": card["sync_status"],
            "weight_%": card["weight_pct"],
            "assigned_$": dollars_of(card["assigned"]),
            "result_$": dollars_of(card["total_pnl"]),
            "result_%": card["total_pnl_pct"],
            "open": card["our_positions"],
            "own_return_%": card["trader_return_pct"],
        }
        for card in cards
    ]
    found = [
        f"{card['name']} is {card['sync_status']}: {card['error'] or 'not read in time'}"
        for card in cards
        if card["sync_status"] in {"degraded", "stale"}
    ]
    return {"rows": rows, "findings": found, "empty": "Nobody is followed."}


def _pairs(portfolio: Portfolio, view: PortfolioView) -> dict[str, Any]:
    """What each instrument brought, over all positions ever, after fees and funding."""
    net = F("realized_pnl") - F("fees") + F("funding")
    closed = Q(status=Position.Status.CLOSED)
    sums = (
        Position.objects.filter(portfolio=portfolio)
        .values("underlying")
        .annotate(
            net=Sum(net),
            paid=Sum("fees"),
            closed=Count("pk", filter=closed),
            won=Count("pk", filter=closed & Q(realized_pnl__gt=F("fees") - F("funding"))),
        )
        .order_by("-net", "underlying")
    )
    open_now = {position["underlying"]: position for position in view["positions"].values()}
    rows = []
    for row in sums:
        held = open_now.get(row["underlying"], {})
        rows.append(
            {
                "instrument": row["underlying"],
                "closed": row["closed"],
                "won_%": f"{100 * row['won'] / row['closed']:.0f}" if row["closed"] else None,
                "realized_net_$": f"{row['net']:,.2f}",
                "fees_$": f"{row['paid']:,.2f}",
                "open_value_$": dollars_of(held.get("notional")),
                "open_result_$": dollars_of(held.get("unrealized_pnl")),
            }
        )
    return {"rows": rows, "findings": [], "empty": "Nothing was traded yet."}


_PARTS: Final[Mapping[str, Callable[[Portfolio, PortfolioView], dict[str, Any]]]] = {
    "summary": _summary,
    "concentration": _concentration,
    "traders": _traders,
    "pairs": _pairs,
}
