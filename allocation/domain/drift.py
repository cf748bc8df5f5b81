"""How far what is held has moved away from its target (ALL-4)."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

DRIFT_THRESHOLD: Final = Decimal("0.10")


def target_drift(*, actual: Decimal, target: Decimal) -> Decimal:
    """Return |actual - target| ÷ |target| as a fraction.

    :raises ValueError: the target is 0; that is a close, not a drift
    """
    if target == 0:
        msg = "a target of 0 is a close and has no drift"
        raise ValueError(msg)
    return abs(actual - target) / abs(target)
