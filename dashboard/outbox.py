"""What waits to be sent to one socket: bounded, so that one slow reader costs nobody else anything."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final

logger = logging.getLogger(__name__)

TRY_AGAIN_LATER: Final = 1013  # registered close code: the client reconnects and gets a snapshot
LONGEST: Final = 32


class Outbox:
    """A queue with one writer side (the hub and the consumer) and one reader (the socket's sender).

    When more than ``longest`` messages wait, the reader is too slow: all of them are dropped and the
    outbox closes with 1013.
    """

    def __init__(self, *, longest: int = LONGEST) -> None:
        self._longest = longest
        self._waiting: deque[str] = deque()
        self._something = asyncio.Event()
        self.close_code: int | None = None

    def put(self, text: str) -> None:
        """Add a message; after the outbox was closed nothing is added."""
        if self.close_code is not None:
            return
        if len(self._waiting) >= self._longest:
            logger.info("a slow socket is cut off: %d messages wait to be read", len(self._waiting))
            self.close(TRY_AGAIN_LATER)
            return
        self._waiting.append(text)
        self._something.set()

    def restart(self, text: str) -> None:
        """Add a snapshot; what waited before it is contained in it and is dropped."""
        self._waiting.clear()
        self.put(text)

    def close(self, code: int) -> None:
        """Drop what waits and end with this close code; the first code given stays."""
        if self.close_code is None:
            self.close_code = code
            self._waiting.clear()
            self._something.set()

    async def get(self) -> str | None:
        """Wait for the next message; None when the outbox was closed."""
        while not self._waiting:
            if self.close_code is not None:
                return None
            self._something.clear()
            await self._something.wait()
        return self._waiting.popleft()
