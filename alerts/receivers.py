"""What happens to a person's account, told to that person."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from accounts.models import User
from accounts.signals import new_device_signed_in, person_forgotten
from alerts.domain.kinds import AlertKind
from alerts.models import Alert, AlertChannel, QuietTime
from alerts.raising import alert_raise


def receivers_connect() -> None:
    """Listen to accounts; called once, when the apps are ready."""
    new_device_signed_in.connect(_new_device, dispatch_uid="alerts_new_device")
    person_forgotten.connect(_forgotten, dispatch_uid="alerts_forgotten")


def _new_device(*, user: User, at: datetime, device: str, ip: str, **more: Any) -> None:
    alert_raise(
        kind=AlertKind.SIGN_IN,
        key=f"device:{user.pk}:{device}:{ip}"[:120],
        title="Sign-in from a new device",
        body=f"{device}, {ip}. Was it not you? Change your password and end that session.",
        user_id=user.pk,
        at=at,
    )


def _forgotten(*, user: User, **more: Any) -> None:
    for model in (AlertChannel, Alert, QuietTime):
        model._default_manager.filter(owner=user).delete()
