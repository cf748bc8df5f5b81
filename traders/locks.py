"""Row locks of traders. A portfolio's capital row (``allocation.locks``) is locked before any of these."""

from __future__ import annotations

from traders.models import Trader


def trader_lock(*, trader_id: int) -> Trader:
    """Lock and return a trader until the transaction ends: who follows it does not change meanwhile."""
    return Trader.objects.select_for_update(of=("self",)).get(pk=trader_id)
