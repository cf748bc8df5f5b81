"""OPS-1: a sign-in from a new device is told to its person; who leaves takes alerts and addresses along."""

from __future__ import annotations

import pytest

from accounts.models import User
from accounts.signals import new_device_signed_in, person_forgotten
from alerts.models import Alert, AlertChannel, AlertDelivery, QuietTime
from core.clock import utc_now
from tests.api.making import everything_make


@pytest.mark.django_db
def test_a_new_device_is_told_to_its_person(alice: User, bob: User) -> None:
    """With browser and address, and what to do if it was somebody else."""
    new_device_signed_in.send(
        sender=User, user=alice, at=utc_now(), device="Firefox on Linux", ip="203.0.113.7"
    )
    (row,) = Alert.objects.all()
    assert (row.owner, row.kind, row.title) == (alice, "sign_in", "Sign-in from a new device")
    assert row.body.startswith("Firefox on Linux, 203.0.113.7. Was it not you?")


@pytest.mark.django_db
def test_who_leaves_takes_alerts_and_addresses_along(alice: User, bob: User) -> None:
    """Nobody else's go with them."""
    everything_make(owner=alice)
    Alert.objects.create(owner=bob, kind="breaker", key="a", title="Bob's")
    person_forgotten.send(sender=User, user=alice)
    assert [row.owner for row in Alert.objects.all()] == [bob]
    assert not AlertChannel.objects.exists()
    assert not AlertDelivery.objects.exists()
    assert not QuietTime.objects.exists()
