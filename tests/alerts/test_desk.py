"""Issue "Admin": the operator's desk: health at a glance, sources paused, failures kept, nobody's money."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.apps import apps
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from accounts.models import Portfolio, User
from alerts.failures import KEPT, failure_keep, failures_prune
from alerts.models import Alert, TaskFailure
from core.clock import utc_now
from portfolio_site.celery import WORKERS_SEEN, failure_note
from portfolio_site.desk import health_read
from portfolio_site.operator_rights import OPERATOR_VIEWS
from portfolio_site.watching import platform_watch
from tests.api.making import everything_make
from traders.models import Trader

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(db: None, client_of: Callable[[Any], Client]) -> Client:
    user = User.objects.create_user("op@example.com", "a long enough word", role="operator")
    return client_of(user)


@pytest.fixture
def full(alice: User) -> Portfolio:
    return everything_make(owner=alice)


def lines() -> dict[str, tuple[str, bool]]:
    return {line.name: (line.value, line.good) for part in health_read(now=utc_now()) for line in part.lines}


def seen(client: redis.Redis, name: str, *, seconds_ago: int) -> None:
    client.hset(WORKERS_SEEN, name, int((utc_now() - timedelta(seconds=seconds_ago)).timestamp()))


def test_the_index_shows_health_to_an_operator(operator: Client, full: Portfolio) -> None:
    """Headings of everything that is looked at, and no name, address or amount of anybody."""
    Trader.objects.update(status="degraded", last_error="timeout", failing_since=utc_now())
    body = operator.get("/admin/").content.decode()
    for heading in ("Workers", "Queues", "Request budgets", "Traders", "Trading", "Alerts and tasks"):
        assert f"<caption>{heading}</caption>" in body
    assert "timeout" in body
    assert "alice" not in body
    assert full.name not in body


def test_what_is_wrong_is_marked(full: Portfolio, redis_client: redis.Redis) -> None:
    """A silent worker, traders that cannot be read, a full queue, a failed task; then everything is well."""
    seen(redis_client, "orders@a", seconds_ago=2)
    seen(redis_client, "sync@a", seconds_ago=200)
    redis_client.rpush("sync", *range(120))
    Trader.objects.update(status="degraded", last_error="timeout", failing_since=utc_now())
    TaskFailure.objects.all().delete()
    TaskFailure.objects.create(task="sync.shard", error="ValueError", trace="")
    told = lines()
    assert told["orders@a"][1]
    assert told["sync@a"] == ("3 min ago", False)
    assert told["sync"] == ("120 waiting", False)
    assert told["plan"] == ("0 waiting", True)
    assert told["Cannot be read"] == (str(Trader.objects.count()), False)
    assert told["Failed: sync.shard"] == ("1 in a day", False)
    assert told["Orders without an answer"] == ("0", True)


def test_an_operator_sees_the_platforms_tables_and_nothing_else(operator: Client, full: Portfolio) -> None:
    """Every table of every app is tried."""
    opened = set()
    for model in apps.get_models():
        if not admin.site.is_registered(model):
            continue
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        if operator.get(reverse(f"admin:{name}_changelist")).status_code == 200:
            opened.add(f"{model._meta.app_label}.view_{model._meta.model_name}")
    assert opened == OPERATOR_VIEWS


def test_an_operator_pauses_and_resumes_sources_and_edits_nothing(operator: Client, full: Portfolio) -> None:
    """By the actions of the list; the form itself is closed, and shows neither owner nor key."""
    trader = Trader.objects.get(pk=full.follows.get().trader_id)
    changelist = reverse("admin:traders_trader_changelist")
    for action, status in (("pause", "paused"), ("resume", "active")):
        answer = operator.post(changelist, {"action": action, "_selected_action": [trader.pk]})
        assert answer.status_code == 302
        trader.refresh_from_db()
        assert trader.status == status
    change = reverse("admin:traders_trader_change", args=[trader.pk])
    assert operator.post(change, {"name": "Mine"}).status_code == 403
    trader.refresh_from_db()
    assert trader.name != "Mine"
    body = operator.get(change).content.decode()
    assert "Credential" not in body
    assert "snapshot" not in body


def test_others_see_nothing_of_it(charlie: User, client_of: Callable[[Any], Client], full: Portfolio) -> None:
    """Neither the page nor the tables."""
    outsider = client_of(charlie)
    for url in (
        "/admin/",
        reverse("admin:traders_trader_changelist"),
        reverse("admin:alerts_taskfailure_changelist"),
    ):
        assert outsider.get(url, follow=True).status_code == 403


def test_a_failed_task_is_kept_without_its_values() -> None:
    """Where it failed, not with what: a message may quote anything."""

    class Sender:
        name = "sync.shard"
        request = type("Request", (), {"hostname": "sync@a"})()

    with pytest.raises(ValueError, match="secret") as failed:
        int("a secret in a message")
    failure_note(sender=Sender(), exception=failed.value, traceback=failed.tb)
    kept = TaskFailure.objects.get()
    assert (kept.task, kept.worker, kept.error) == ("sync.shard", "sync@a", "builtins.ValueError")
    assert "test_desk.py" in kept.trace
    assert "in test_a_failed_task_is_kept_without_its_values" in kept.trace
    assert "secret" not in kept.trace


def test_old_failures_go() -> None:
    """After 30 days."""
    now = utc_now()
    for at in (now - KEPT - timedelta(seconds=1), now - KEPT):
        failure_keep(task="a", worker="b", error=ValueError(), trace=None, at=at)
    assert failures_prune(now=now) == 1
    assert TaskFailure.objects.count() == 1


def test_operators_are_told_of_a_silent_worker_once_and_when_it_is_back(
    redis_client: redis.Redis, alice: User
) -> None:
    """One that ended in order is not missed, and one that is gone for a day is forgotten."""
    op = User.objects.create_user("op@example.com", "a long enough word", role="operator")
    seen(redis_client, "sync@a", seconds_ago=90)
    seen(redis_client, "plan@a", seconds_ago=5)
    for _ in range(2):
        platform_watch(now=utc_now())
    told = [(one.owner, one.title) for one in Alert.objects.order_by("pk")]
    assert told == [(op, "The worker sync@a is silent")]
    seen(redis_client, "sync@a", seconds_ago=1)
    platform_watch(now=utc_now())
    assert [one.title for one in Alert.objects.order_by("pk")][1:] == ["The worker sync@a is alive again"]
    seen(redis_client, "sync@a", seconds_ago=90_000)
    platform_watch(now=utc_now())
    assert not redis_client.hexists(WORKERS_SEEN, "sync@a")
    assert Alert.objects.filter(open=True, standing=True).count() == 0
