"""A real node on loopback (anvil), and what tests put on its chain: tokens, feeds, and contracts that lie."""

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eth_abi import encode

from tests.running import wait_until

ROOT = Path(__file__).resolve().parents[3]
ARTIFACTS = ROOT / "tests" / "data" / "evm"
OWNER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"  # anvil's first account, unlocked
MULTICALL = "0xca11bde05977b3631167028862be2a173976ca11"
START_S = 10.0


def anvil_find() -> Path | None:
    """Return the program, None where it was not installed."""
    return next((ROOT / "tests" / "node" / "node_modules").glob("@foundry-rs/anvil-*/bin/anvil"), None)


class Anvil:
    """One node in a process of its own. Its chain's id is 31337."""

    def __init__(self, program: Path, *arguments: str, log: Path) -> None:
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [str(program), "--port", "0", "--host", "127.0.0.1", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.url = f"http://{wait_until(self._listening, what='the node', timeout_s=START_S)}"

    def _listening(self) -> str:
        """Return where it listens, as it says in its output; empty before."""
        found = re.search(r"^Listening on (\S+)$", self._log.read_text(), re.MULTILINE)
        return found[1] if found else ""

    # ------------------------------------------------------------ the process
    def pause(self) -> None:
        """Let it hold connections and answer nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it."""
        self.resume()
        self._process.kill()
        self._process.wait()

    # ------------------------------------------------------------ the chain
    def rpc(self, method: str, *params: Any) -> Any:
        """Ask for something and return its result."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=START_S) as response:  # noqa: S310
            answer = json.loads(response.read())
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def height(self) -> int:
        """Return the number of the newest block."""
        return int(self.rpc("eth_blockNumber"), 16)

    def time_s(self) -> int:
        """Return the time of the newest block."""
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def mine(self, blocks: int = 1) -> None:
        """Put blocks on top."""
        self.rpc("anvil_mine", hex(blocks))

    def give(self, wallet: str, wei: int) -> None:
        """Set how much of the chain's own coin a wallet holds."""
        self.rpc("anvil_setBalance", wallet, hex(wei))
        self.mine()

    def send(self, to: str | None, data: str) -> dict[str, Any]:
        """Send a transaction and return its receipt."""
        fields = {"from": OWNER, "data": data} | ({"to": to} if to else {})
        sent = self.rpc("eth_sendTransaction", fields)
        receipt: dict[str, Any] = wait_until(
            lambda: self.rpc("eth_getTransactionReceipt", sent), what="a receipt", timeout_s=START_S
        )  # type: ignore[assignment]
        assert receipt["status"] == "0x1"
        return receipt

    def deploy(self, name: str, types: list[str], values: list[Any]) -> str:
        """Deploy a compiled contract and return its address."""
        bytecode = json.loads((ARTIFACTS / f"{name}.json").read_text())["bytecode"]
        return self.send(None, bytecode + encode(types, values).hex())["contractAddress"]

    def token(self, supply: int, *, owner: str = OWNER) -> str:
        """Deploy OpenZeppelin's ERC-20 with 18 decimals, all of it with its owner."""
        types = ["string", "string", "uint256", "address"]
        return self.deploy("ERC20PresetFixedSupply", types, ["Token", "TKN", supply, owner])

    def transfer(self, token: str, to: str, amount: int) -> None:
        """Move tokens of the owner's."""
        self.send(token, "0xa9059cbb" + encode(["address", "uint256"], [to, amount]).hex())

    def feed(self, answer: int, *, decimals: int = 8) -> str:
        """Deploy Chainlink's mock feed."""
        return self.deploy("MockV3Aggregator", ["uint8", "int256"], [decimals, answer])

    def feed_round(self, feed: str, *, answer: int, at_s: int, started_at_s: int | None = None) -> None:
        """Have a feed say something of a time."""
        started = at_s if started_at_s is None else started_at_s
        values = encode(["uint80", "int256", "uint256", "uint256"], [9, answer, at_s, started])
        self.send(feed, "0x4aa2011f" + values.hex())

    def code(self, address: str, code: str) -> str:
        """Put code at an address and return the address."""
        self.rpc("anvil_setCode", address, code)
        self.mine()
        return address

    def multicall(self) -> str:
        """Put Multicall3, as it is deployed on public chains, at its address there."""
        return self.code(
            MULTICALL, json.loads((ARTIFACTS / "Multicall3.json").read_text())["deployedBytecode"]
        )


# ---------------------------------------------------------------- contracts written by hand
BALANCE_OF, SUPPLY, DECIMALS = "70a08231", "18160ddd", "313ce567"
REVERTS = "5f5ffd"
ONE_BYTE = "60015ff3"
BURNS_GAS = "fe"  # takes all gas it was given
LOOPS = "0x5b5f56"  # whole code: jumps to its start until the gas is gone
REENTERS = "365f5f37" + "5f5f365f305afa" + REVERTS  # asks itself the same, as deep as gas goes


def says(answers: Mapping[str, int | str]) -> str:
    """Return code that answers each selector with a number, or by running code of its own.

    Anything else reverts. The code of an answer must not jump.
    """
    head, body = "5f3560e01c", ""
    parts = []
    for selector, answer in answers.items():
        run = f"7f{answer:064x}5f5260205ff3" if isinstance(answer, int) else answer
        parts.append((selector, run))
    start = len(bytes.fromhex(head)) + 11 * len(parts) + 4
    for selector, run in parts:
        at = start + len(bytes.fromhex(body))
        head += f"8063{selector}1461{at:04x}57"
        body += f"5b{run}"
    return "0x" + head + "5f5ffd00" + body
