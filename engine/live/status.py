"""How a portfolio stands with its real account, for the page, the API and the command line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from accounts.models import Credential, LiveAccount, LiveFinding, LiveHolding, Portfolio
from core.decimals import plain
from core.errors import NotFound
from engine.domain.live_gate import Condition
from engine.live.accounts import live_get
from engine.live.gate import gate_read, ramp_read
from engine.live.report import ShadowReport, shadow_report
from engine.live.settling import LABELS, WAYS


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """How a portfolio stands; without an account only what could be connected.

    :param badge: how its mode is called: Paper, Shadow, Live (test environment), Live, …
    :param conditions: for going live; the account is not asked for it, its last check counts
    :param ramp: why it may not hold more positions yet; empty: it may
    """

    badge: str
    account: LiveAccount | None
    keys: tuple[Credential, ...]
    conditions: tuple[Condition, ...] = ()
    report: ShadowReport | None = None
    holdings: tuple[LiveHolding, ...] = ()
    findings: tuple[LiveFinding, ...] = ()
    ramp: str = ""
    next_step: int | None = None

    def ways(self, finding: LiveFinding) -> list[tuple[str, str]]:
        """How a finding can be settled: name and label."""
        return [(way, LABELS[way]) for way in WAYS[finding.kind]]


def live_status(*, portfolio: Portfolio, now: datetime) -> LiveStatus:
    """Return how a portfolio stands with its account; nothing is asked of the venue."""
    keys = Credential.objects.filter(
        owner_id=portfolio.owner_id, purpose=Credential.Purpose.TRADE, revoked_at__isnull=True
    )
    try:
        account = live_get(portfolio=portfolio)
    except NotFound:
        return LiveStatus(badge=portfolio.get_mode_display(), account=None, keys=tuple(keys))
    ramp, following = (
        ("", None) if account.state != LiveAccount.State.LIVE else ramp_read(account=account, now=now)
    )
    shadow = account.state in LiveAccount.ON_PAPER
    return LiveStatus(
        badge=live_badge(account=account),
        account=account,
        keys=tuple(keys),
        conditions=gate_read(account=account, look=None, shortened="", now=now) if shadow else (),
        report=shadow_report(portfolio=portfolio, now=now) if account.shadow_since else None,
        holdings=tuple(LiveHolding.objects.filter(account=account).order_by("kind", "code")),
        findings=tuple(LiveFinding.objects.filter(account=account, settled_at__isnull=True).order_by("pk")),
        ramp=ramp,
        next_step=following,
    )


def live_badge(*, account: LiveAccount) -> str:
    """Return how the mode of a connected portfolio is called."""
    place = " (sandbox)" if account.sandbox else ""
    names = {"shadow": "Shadow", "promoting": "Shadow ends", "live": "Live", "stopping": "Live, stopping"}
    return f"{names.get(account.state, 'Stopped')}{place}"


def live_data(*, status: LiveStatus) -> dict[str, Any]:
    """Return a status for programs: decimals as text, times as ISO-8601, never anything of a key."""
    account = status.account
    data: dict[str, Any] = {"badge": status.badge, "server_allows": settings.LIVE_TRADING, "account": None}
    if account is None:
        return data
    data["account"] = {
        "venue": account.venue,
        "sandbox": account.sandbox,
        "policy": account.policy,
        "quote": account.quote,
        "state": account.state,
        "assigned": plain(account.assigned),
        "max_positions": account.max_positions,
        "promoted_at": account.promoted_at.isoformat() if account.promoted_at else None,
        "looked_at": account.looked_at.isoformat() if account.looked_at else None,
        "error": account.error,
        "problems": account.problems,
    }
    data["conditions"] = [{"name": one.name, "met": one.met, "text": one.text} for one in status.conditions]
    data["ramp"] = {"problem": status.ramp, "next": status.next_step}
    data["holdings"] = [
        {
            "kind": one.kind,
            "code": one.code,
            "quantity": plain(one.quantity),
            "ours": plain(one.ours),
            "text": one.text,
        }
        for one in status.holdings
    ]
    data["findings"] = [
        {
            "id": one.pk,
            "kind": one.kind,
            "code": one.code,
            "books": plain(one.books),
            "seen": plain(one.seen),
            "text": one.text,
            "confirmed": one.confirmed_at is not None,
            "ways": [name for name, _ in status.ways(one)],
        }
        for one in status.findings
    ]
    data["shadow"] = status.report.data if status.report else None
    return data
