"""What loopback servers that run as a process of their own share: serving, and hanging up in the middle."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web


async def app_serve(app: web.Application) -> None:
    """Listen on a free loopback port, print it, and run until standard input ends."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


async def half_answer(request: web.Request, text: str) -> None:
    """Send the first half of a JSON body whose length promises all of it."""
    answer = web.StreamResponse(
        headers={"Content-Type": "application/json", "Content-Length": str(len(text))}
    )
    await answer.prepare(request)
    await answer.write(text[: len(text) // 2].encode())


def hang_up(request: web.Request) -> web.Response:
    """Cut the connection; who asked may have gone meanwhile."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
