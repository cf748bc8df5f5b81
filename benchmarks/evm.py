"""How fast an on-chain wallet is read (FOL-3): 30 tokens in one multicall, on a local node.

`evm_read`: one look at a wallet with 30 tokens and the chain's own coin, from the first request to equity
and positions: block, balances, supplies and feed prices, through the shared budget, median. The baseline is
in the same run one web3 ``balanceOf`` call per token and no price at all. The second figure is what one
wallet of 25 costs when they are read together.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks._measuring import figure, measured

RATIO_GOAL: Final = 0.5
PATIENCE_S: Final = 180


def evm_read() -> list[dict[str, Any]]:
    """Measure one wallet, and 25 together."""
    told = measured("_evm_run", what="an on-chain wallet", patience_s=PATIENCE_S)
    goal_ms = RATIO_GOAL * told["calls_ms"]
    return [
        figure(
            name="evm_read",
            value=told["look_ms"],
            unit="ms, wallet with 30 tokens, priced",
            baseline=told["calls_ms"],
            goal=f"<= {RATIO_GOAL} x baseline",
            holds=told["look_ms"] <= goal_ms,
        ),
        figure(
            name="evm_read_many",
            value=told["many_ms"],
            unit="ms per wallet, 25 wallets of 30 tokens together",
            baseline=told["look_ms"],
            goal=None,
            holds=None,
        ),
    ]


FIGURES: Final = {"evm_read": evm_read}
