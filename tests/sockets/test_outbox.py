"""VIEW-2: a slow reader is cut off, and costs nobody else anything."""

from __future__ import annotations

import asyncio

from dashboard.outbox import TRY_AGAIN_LATER, Outbox


async def _rest(outbox: Outbox) -> list[str]:
    texts = []
    async with asyncio.timeout(1):
        while (text := await outbox.get()) is not None:
            texts.append(text)
    return texts


async def test_messages_keep_their_order() -> None:
    """What is put first comes first."""
    outbox = Outbox()
    for text in ("a", "b", "c"):
        outbox.put(text)
    assert [await outbox.get() for _ in range(3)] == ["a", "b", "c"]


async def test_a_full_outbox_closes_with_try_again_later() -> None:
    """One more than fits drops everything and closes with 1013; later messages change nothing."""
    outbox = Outbox(longest=2)
    outbox.put("a")
    outbox.put("b")
    assert outbox.close_code is None
    outbox.put("c")
    outbox.put("d")
    outbox.close(4401)
    assert outbox.close_code == TRY_AGAIN_LATER == 1013
    assert await _rest(outbox) == []


async def test_a_snapshot_replaces_what_waits() -> None:
    """Changes before a snapshot are contained in it, so a resync makes room."""
    outbox = Outbox(longest=2)
    outbox.put("change 1")
    outbox.put("change 2")
    outbox.restart("snapshot")
    outbox.put("change 3")
    assert [await outbox.get(), await outbox.get()] == ["snapshot", "change 3"]


async def test_a_waiting_reader_is_woken_by_the_end() -> None:
    """Closing wakes the sender, which then closes the socket."""
    outbox = Outbox()
    reader = asyncio.create_task(outbox.get())
    await asyncio.sleep(0)
    outbox.close(4404)
    assert await asyncio.wait_for(reader, 1) is None
