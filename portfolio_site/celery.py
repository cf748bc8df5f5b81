"""The Celery app: `celery -A portfolio_site worker|beat`.

A task's name begins with its queue (`sync.`, `plan.`, `orders.`, `live.`, `exits.`, `commands.`,
`upkeep.`, `alerts.`) and is routed by it. What beat sends when stands in `engine/schedule.py`.
"""

import os
import signal
import threading
from typing import Any

import redis
from celery import Celery, bootsteps
from celery.signals import setup_logging, task_failure, worker_process_init, worker_ready
from django.db import DatabaseError
from django_structlog.celery.steps import DjangoStructLogInitStep

from core.clock import utc_now
from engine.schedule import BEAT_SCHEDULE
from engine.sending import recover_later
from portfolio_site.probe import redis_probe
from portfolio_site.processes import die_with_parent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portfolio_site.settings")

HEARTBEAT_EVERY_S = 5.0
HEARTBEAT_LIFETIME_S = 20
HEARTBEAT_KEY = "ensemble:worker:"
WORKERS_SEEN = "ensemble:workers-seen"  # when each was alive last; one that ends in order is taken out
EXIT_WATCH_ENDS_WITHIN_S = 5

app = Celery("ensemble")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.beat_schedule = BEAT_SCHEDULE
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)


class HeartbeatStep(bootsteps.StartStopStep):
    """Keep a key in Redis alive while this worker's main loop turns; `/readyz` reads it."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self._timer_entry: Any = None
        self._client = redis_probe(timeout_s=1)

    def start(self, worker: Any) -> None:
        """Beat now and every few seconds."""
        self._beat(worker)
        self._timer_entry = worker.timer.call_repeatedly(HEARTBEAT_EVERY_S, self._beat, (worker,))

    def stop(self, worker: Any) -> None:
        """Take the key away: a worker that ends in order is gone at once."""
        if self._timer_entry is not None:
            self._timer_entry.cancel()
        self._attempt("delete", HEARTBEAT_KEY + worker.hostname)
        self._attempt("hdel", WORKERS_SEEN, worker.hostname)

    def _beat(self, worker: Any) -> None:
        self._attempt("set", HEARTBEAT_KEY + worker.hostname, "alive", ex=HEARTBEAT_LIFETIME_S)
        self._attempt("hset", WORKERS_SEEN, worker.hostname, int(utc_now().timestamp()))

    def _attempt(self, command: str, *args: Any, **kwargs: Any) -> None:
        try:
            getattr(self._client, command)(*args, **kwargs)
        except redis.RedisError as error:
            # Redis is away: the consumer says so and reconnects; the missing key is the truth meanwhile.
            app.log.get_default_logger().warning("heartbeat not written: %s", error)


app.steps["worker"].add(HeartbeatStep)


class ExitWatchStep(bootsteps.StartStopStep):
    """Run the exit watch in a thread of every worker that serves the queue `exits`."""

    requires = ("celery.worker.components:Pool",)  # whose children are forked before the thread begins

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def include_if(self, worker: Any) -> bool:
        """Only where exits are served."""
        return "exits" in worker.app.amqp.queues.consume_from

    def start(self, worker: Any) -> None:
        """Begin to watch."""
        from portfolio_site.exit_watch import exit_watch_make

        watch = exit_watch_make(worker_name=worker.hostname)
        self._thread = threading.Thread(target=watch.run, args=(self._stop,), name="exits", daemon=True)
        self._thread.start()

    def stop(self, worker: Any) -> None:
        """Give the shards up before the worker ends, so that another takes them at once."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=EXIT_WATCH_ENDS_WITHIN_S)

    def terminate(self, parent: Any) -> None:
        """Give the shards up also where the worker is ended in a hurry."""
        self.stop(parent)


app.steps["worker"].add(ExitWatchStep)


@setup_logging.connect
def logging_keep(**kwargs: Any) -> None:
    """Keep the logging Django has set up; that somebody answers this signal keeps Celery from its own."""


@worker_process_init.connect
def pool_child_bind(**kwargs: Any) -> None:
    """Let a pool child die with its worker, even where that one is killed."""
    die_with_parent(stop_signal=signal.SIGKILL, parent=os.getppid())()


@worker_ready.connect
def start_is_recovery(**kwargs: Any) -> None:
    """Have orders and venues compared before anything else: a start and a recovery are the same."""
    recover_later(begun_at=utc_now())


@task_failure.connect
def failure_note(
    sender: Any = None, exception: BaseException | None = None, traceback: Any = None, **kwargs: Any
) -> None:
    """Keep that a task failed, for those who run the server."""
    if exception is None:
        return
    from alerts.failures import failure_keep

    request = getattr(sender, "request", None)
    try:
        failure_keep(
            task=getattr(sender, "name", ""),
            worker=getattr(request, "hostname", "") or "",
            error=exception,
            trace=traceback,
            at=utc_now(),
        )
    except DatabaseError as error:
        # The task failed because the database is away: the log has it, and says that this is missing.
        app.log.get_default_logger().warning("failure of a task not kept: %s", type(error).__name__)
