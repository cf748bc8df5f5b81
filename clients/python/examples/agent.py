"""An agent that trades on its own and lets a portfolio follow it.

    ENSEMBLE_URL=http://localhost:8000 ENSEMBLE_AGENT=<id> ENSEMBLE_SECRET=<secret> python examples/agent.py

It reads what it holds from standard input, one JSON object a line, and posts each:

    {"equity": "10250.00", "positions": [{"instrument": "BTC", "quantity": "0.05", "entry_price": "98000"}]}

While no line comes it posts the last one again, so that followers know that it is alive.
"""

from __future__ import annotations

import json
import os
import select
import sys
from typing import Any

from ensemble_client import EnsembleError
from ensemble_client.agent import AgentClient, Position

EVERY_S = float(os.environ.get("ENSEMBLE_EVERY_S", "60"))


def post(client: AgentClient, held: dict[str, Any]) -> None:
    """Post what is held; say what came of it."""
    positions = [Position(**position) for position in held["positions"]]
    try:
        receipt = client.post(equity=held["equity"], positions=positions)
    except EnsembleError as error:
        sys.stderr.write(f"not posted: {error} {error.fields or ''}\n")
    else:
        sys.stdout.write(f"posted {len(positions)} positions as {receipt.sequence}\n")
        sys.stdout.flush()


def main() -> None:
    """Post until standard input ends."""
    client = AgentClient(
        os.environ["ENSEMBLE_URL"],
        agent_id=os.environ["ENSEMBLE_AGENT"],
        secret=os.environ["ENSEMBLE_SECRET"],
    )
    held: dict[str, Any] | None = None
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], EVERY_S)
        if ready:
            line = sys.stdin.readline()
            if not line:
                return
            held = json.loads(line)
        if held is not None:
            post(client, held)


if __name__ == "__main__":
    main()
