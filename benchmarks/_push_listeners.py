"""Plain sockets beside the page of `benchmarks.push_latency`: they read and count, nothing else.

`python -m benchmarks._push_listeners BASE SESSION COUNT PORTFOLIO…`
"""

from __future__ import annotations

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def listen(base: str, session: str, portfolio_id: str, ready: asyncio.Semaphore) -> None:
    """Read one socket until it closes; a gap or a close is told."""
    url = f"{base.replace('http', 'ws')}/ws/portfolios/{portfolio_id}/"
    headers = {"Cookie": f"sessionid={session}"}
    async with connect(url, origin=base, additional_headers=headers, max_size=None) as socket:
        seq = json.loads(await socket.recv())["seq"]
        ready.release()
        try:
            async for text in socket:
                message = json.loads(text)
                if message["type"] == "change":
                    if message["seq"] != seq + 1:
                        print(f"lost a change of portfolio {portfolio_id}", flush=True)
                    seq = message["seq"]
        except ConnectionClosed as error:
            print(f"lost a socket of portfolio {portfolio_id}: {error}", flush=True)


async def main() -> None:
    """Open the sockets ten at a time, say when all listen, read for ever."""
    base, session, count, *portfolios = sys.argv[1:]
    ready = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as group:
        for number in range(int(count)):
            group.create_task(listen(base, session, portfolios[number % len(portfolios)], ready))
            if number % 10 == 9:
                for _ in range(10):
                    await ready.acquire()
        for _ in range(int(count) % 10):
            await ready.acquire()
        print("listening", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
