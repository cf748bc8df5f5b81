"""The measuring processes of `benchmarks.feed`: `python -m benchmarks._feed_run` prints JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import redis

from markets.connections import redis_open_now
from markets.tape import START, TapeReader, TapeWriter, Tick
from markets.tape_buffer import TapeBuffer
from portfolio_site.config import embedded_redis_url
from portfolio_site.embedded import EmbeddedRedis

SHARDS: Final = 8
CODES: Final = tuple(f"COIN{number}" for number in range(50))
FLUSHES_PER_S: Final = 20
SECONDS: Final = 15
WARM_S: Final = 2
STREAM: Final = "bare"
NOW: Final = datetime(2026, 3, 2, tzinfo=UTC)


def moment_us() -> int:
    """Return a moment that all processes of this machine agree on, in microseconds."""
    return time.monotonic_ns() // 1000


def write(client: redis.Redis, mode: str) -> float:
    """Write 50 prices 20 times a second; return the share of a core it took, in percent."""
    buffer = TapeBuffer(writer=TapeWriter(client=client, shards=SHARDS, kept_s=900))
    began_us, began_cpu_s = moment_us(), 0.0
    for flush in range((WARM_S + SECONDS) * FLUSHES_PER_S):
        due_us = began_us + flush * 1_000_000 // FLUSHES_PER_S
        time.sleep(max(0, due_us - moment_us()) / 1e6)
        if flush == WARM_S * FLUSHES_PER_S:
            began_cpu_s = time.process_time()
        price = Decimal(60_000) + Decimal(flush) / 8
        if mode == "bare":
            body = b"x" * 60 * len(CODES)
            client.xadd(STREAM, {b"t": body, b"at": str(moment_us())}, minid="0", approximate=True)
            continue
        now_us = moment_us()
        ticks = [
            Tick(world="live", run=1, code=code, price=price, quoted_us=now_us, received_us=now_us)
            for code in CODES
        ]
        if not buffer.append(ticks, now=NOW + timedelta(microseconds=now_us)):
            raise RuntimeError("Redis is away")
    return (time.process_time() - began_cpu_s) / SECONDS * 100


def read(client: redis.Redis, mode: str) -> dict[str, float]:
    """Read until everything came; return latencies and the share of a core it took."""
    wanted = (WARM_S + SECONDS) * FLUSHES_PER_S * (1 if mode == "bare" else len(CODES))
    warm = WARM_S * FLUSHES_PER_S * (1 if mode == "bare" else len(CODES))
    late_us: list[int] = []
    began_cpu_s = 0.0
    place: Any = "0"
    reader = TapeReader(client=client)
    for shard in range(SHARDS):
        reader.follow(shard=shard, after=START)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while len(late_us) < wanted:
        if mode == "bare":
            answer: Any = client.xread({STREAM: place}, count=512, block=1000)
            moments = [int(fields[b"at"]) for _, rows in answer or [] for _, fields in rows]
            place = answer[-1][1][-1][0] if answer else place
        else:
            moments = [tick.received_us for entry in reader.read(block_ms=1000) for tick in entry.ticks]
        now_us = moment_us()
        late_us += [now_us - moment for moment in moments]
        if not began_cpu_s and len(late_us) >= warm:
            began_cpu_s = time.process_time()
    measured = sorted(late_us[warm:])
    return {
        "p50_ms": measured[len(measured) // 2] / 1000,
        "p99_ms": measured[len(measured) * 99 // 100] / 1000,
        "max_ms": measured[-1] / 1000,
        "cpu_pct": (time.process_time() - began_cpu_s) / SECONDS * 100,
    }


def measure(url: str, mode: str) -> dict[str, float]:
    """Run one writer and one reader."""
    reader = subprocess.Popen(
        [sys.executable, "-m", "benchmarks._feed_run", mode, url], stdout=subprocess.PIPE, text=True
    )
    if reader.stdout is None or reader.stdout.readline() != "ready\n":
        raise RuntimeError("the reader did not start")
    with redis_open_now(url=url) as client:
        writer_pct = write(client, mode)
    out, _ = reader.communicate(timeout=30)
    figures = json.loads(out)
    figures["cpu_pct"] += writer_pct
    return figures


def main() -> None:
    """Measure both on a Redis of their own, or be the reader of one measurement."""
    if len(sys.argv) > 1:
        with redis_open_now(url=sys.argv[2], timeout_s=5) as client:
            print(json.dumps(read(client, sys.argv[1])))
        return
    with tempfile.TemporaryDirectory() as directory:
        child = EmbeddedRedis(var_dir=Path(directory)).start()
        try:
            url = embedded_redis_url(var_dir=Path(directory))
            print(json.dumps({mode: measure(url, mode) for mode in ("bare", "ours")}))
        finally:
            child.kill()


if __name__ == "__main__":
    main()
