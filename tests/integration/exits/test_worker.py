"""The exit watch in a real worker, from a price on the tape to a closed position."""

from __future__ import annotations

import redis
from celery import current_app

from core.clock import utc_now
from engine.exits.leases import shards_alive
from engine.models import ExitTrigger, ExitWatcher
from execution.models import PaperHolding
from markets.domain.moments import us_of
from markets.models import Mark
from markets.tape import Tick, writer_make
from positions.models import Position
from tests.integration.exits.scene import D, scene_open
from tests.integration.money.desk import WORLD
from tests.running import TestProcesses, wait_until

SHARDS = set(range(8))


def test_a_worker_watches_closes_and_gives_up_in_order(
    processes: TestProcesses, redis_client: redis.Redis
) -> None:
    """Tick, trigger, order, fill, done: all of it by the worker; when it ends its shards are free at once."""
    scene = scene_open(client=redis_client)
    worker = processes.worker(name="exits", queues=("exits", "orders"))
    wait_until(lambda: shards_alive() == SHARDS, timeout_s=60, what="every shard under watch")
    scene.later((utc_now() - scene.clock.now()).total_seconds())
    position = scene.hold()
    account = f"portfolio:{scene.desk.pk}"
    PaperHolding.objects.create(account=account, instrument_code="BTC", quantity=D("0.1"))
    price_write(redis_client, "91000")
    wait_until(lambda: ExitTrigger.objects.filter(found_by="watch").exists(), what="the trigger")

    def done() -> bool:
        price_write(redis_client, "91000")
        for task in ("orders.work", "exits.work"):
            current_app.send_task(task, expires=1)
        return ExitTrigger.objects.filter(status="done").exists()

    wait_until(done, timeout_s=30, what="the end of the trigger")
    position.refresh_from_db()
    assert position.status == Position.Status.CLOSED
    assert ExitTrigger.objects.get().orders_placed == 1
    worker.stop_ask()
    assert worker.wait(timeout_s=20)
    assert shards_alive() == set()
    assert not ExitWatcher.objects.exists()


def price_write(client: redis.Redis, price: str) -> None:
    """Tell a price on the tape and as the mark, as the feed does."""
    now = utc_now()
    tick = Tick(WORLD, 1, "BTC", D(price), us_of(now), us_of(now))
    writer_make(client=client).append([tick], now=now)
    Mark.objects.filter(instrument_id="BTC").update(price=D(price), quoted_at=now, received_at=now)
