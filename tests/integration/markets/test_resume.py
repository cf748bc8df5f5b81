"""A replay goes on where it stood when the server was off, and only then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from markets.models import Mark, World
from markets.recordings import ALPHA_ARENA
from markets.services import replays_resume, world_ensure

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.django_db
def test_a_night_without_power_takes_nothing_from_the_recording() -> None:
    world_ensure(name=ALPHA_ARENA, now=START, speed=Decimal(600))
    Mark.objects.update(received_at=START + timedelta(seconds=100))
    before = World.objects.get().clock().at(START + timedelta(seconds=100))
    morning = START + timedelta(hours=9)

    assert replays_resume(now=morning) == [ALPHA_ARENA]
    assert World.objects.get().clock().at(morning) == before
    assert replays_resume(now=morning) == []
    assert World.objects.get().clock().at(morning + timedelta(seconds=1)) == before + timedelta(minutes=10)


@pytest.mark.django_db
def test_a_feed_that_crashed_for_ten_seconds_gives_nothing_back() -> None:
    world_ensure(name=ALPHA_ARENA, now=START, speed=Decimal(600))
    anchored_at = World.objects.get().anchored_at
    assert replays_resume(now=START + timedelta(seconds=10)) == []
    assert World.objects.get().anchored_at == anchored_at
