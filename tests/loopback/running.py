"""Start the loopback Hyperliquid as a process, script it, and ask what it was asked."""

import json
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


class HyperliquidProcess:
    """The loopback endpoint; end it with :meth:`stop`. It also ends with the process that started it."""

    module = "tests.loopback.hyperliquid"

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        if not port.isdigit():
            self.stop()
            raise RuntimeError(f"{self.module} did not start")
        self.url = f"http://127.0.0.1:{port}"

    def script(self, **script: Any) -> None:
        """Say how to answer from now on; see `Loopback.control`."""
        self._request("/control", script)

    def stats(self) -> dict[str, Any]:
        """Return what was asked since the last reset."""
        return self._request("/stats", None)

    def stop(self) -> None:
        """End the process and wait for it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _request(self, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=5)
        try:
            connection.request("GET" if body is None else "POST", path, body=json.dumps(body or {}))
            answer = connection.getresponse()
            told: dict[str, Any] = json.load(answer)
            if answer.status >= 400:
                raise RuntimeError(f"the loopback Hyperliquid refuses {path}: {told}")
            return told
        finally:
            connection.close()


class ExchangesProcess(HyperliquidProcess):
    """The loopback exchanges that accounts are read from."""

    module = "tests.loopback.exchanges"


class PriceVenuesProcess(HyperliquidProcess):
    """The loopback venues that tell prices."""

    module = "tests.loopback.price_venues"


def perp_state(*positions: tuple[str, str, str, str], account_value: str = "1000.0") -> str:
    """Return a `clearinghouseState` body: positions of (coin, signed size, entry price, position value)."""
    rows = [
        {
            "type": "oneWay",
            "position": {
                "coin": coin,
                "szi": size,
                "entryPx": entry,
                "positionValue": value,
                "unrealizedPnl": "0.0",
                "leverage": {"type": "cross", "value": 5},
            },
        }
        for coin, size, entry, value in positions
    ]
    summary = {
        "accountValue": account_value,
        "totalNtlPos": "0.0",
        "totalRawUsd": "0.0",
        "totalMarginUsed": "0.0",
    }
    return json.dumps({"marginSummary": summary, "assetPositions": rows, "time": 1765661080145})
