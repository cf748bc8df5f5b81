"""A chain's node over JSON-RPC: several requests in one message, behind the shared budget, with our errors.

The address of a node may hold a secret, so errors name its host alone. Nothing is tried twice in here: the
sync decides when to ask again. web3 is imported when the first client is made, since that takes a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings

from core.errors import BadAnswer, RateLimited, RetryLater
from markets.budget import VenueBudget

REQUEST_TIMEOUT_S: Final = 5.0
_LIMIT_CODES: Final = frozenset({-32005, 429})
_LIMIT_WORDS: Final = ("rate limit", "too many requests", "request limit", "limit exceeded", "throughput")
# Code 3 is a revert (EIP-1474's successors); nodes tell other ends of a call by words alone.
_FAILED_WORDS: Final = (
    "revert",
    "out of gas",
    "outofgas",
    "gas required exceeds",
    "invalid opcode",
    "invalid jump",
    "stack",
    "evm error",
    "execution",
    "intrinsic gas",
)


@dataclass(frozen=True, slots=True)
class CallFailed:
    """A contract was asked and ended its call with an error."""

    message: str


class RpcClient:
    """Asks one node. Belongs to the event loop it was first used in."""

    def __init__(self, *, label: str, url: str, budget: VenueBudget | None = None) -> None:
        from aiohttp import ClientTimeout
        from web3 import AsyncHTTPProvider

        self.host = urlsplit(url).hostname or "?"
        self._label = label
        self.budget = budget or VenueBudget(
            venue=f"evm:{self.host}",
            weight_per_minute=settings.EVM_REQUESTS_PER_MINUTE,
            redis_url=settings.REDIS_URL,
        )
        self._provider = AsyncHTTPProvider(
            url,
            request_kwargs={"timeout": ClientTimeout(total=REQUEST_TIMEOUT_S)},
            exception_retry_configuration=None,
        )

    async def ask(self, requests: Sequence[tuple[str, list[Any]]], *, max_wait_s: float) -> list[Any]:
        """Send requests as one batch; return their results in order, :class:`CallFailed` where a call failed.

        :param requests: each a method and its parameters
        :param max_wait_s: longest wait for room in the budget
        :raises BudgetExhausted: no room in time; nothing was sent
        :raises RateLimited: the node asked for a pause
        :raises BadAnswer: the answer is not what it should be
        :raises RetryLater: no answer, or the budget cannot be reached
        """
        await self.budget.take(len(requests), max_wait_s=max_wait_s)
        answers = await self._send(requests)
        if isinstance(answers, dict):
            await self._refuse(answers.get("error"))
        if not isinstance(answers, list) or len(answers) != len(requests):
            raise BadAnswer(f"{self._name} did not answer a batch of {len(requests)} requests as it should")
        return [await self._result(answer) for answer in answers]

    async def close(self) -> None:
        """Give back connections."""
        await self._provider.disconnect()
        await self.budget.close()

    @property
    def _name(self) -> str:
        return f"the {self._label} node at {self.host}"

    async def _send(self, requests: Sequence[tuple[str, list[Any]]]) -> Any:
        from aiohttp import ClientError, ClientResponseError

        try:
            return await self._provider.make_batch_request(list(requests))  # type: ignore[arg-type]
        except ClientResponseError as error:
            if error.status == 429:
                wait_s = _retry_after_s(error.headers)
                await self.budget.pause(for_s=wait_s or 0)
                raise RateLimited(f"{self._name} asked for a pause", retry_after_s=wait_s) from None
            raise RetryLater(f"{self._name} answered with status {error.status}") from None
        except TimeoutError:
            raise RetryLater(f"{self._name} gave no answer within {REQUEST_TIMEOUT_S:g} s") from None
        except (ClientError, OSError) as error:
            raise RetryLater(f"{self._name} cannot be reached ({type(error).__name__})") from None
        except (ValueError, TypeError, KeyError) as error:  # a web page, half a body, answers without ids
            raise BadAnswer(f"{self._name} did not answer in JSON-RPC ({type(error).__name__})") from None

    async def _result(self, answer: Any) -> Any:
        if not isinstance(answer, dict):
            raise BadAnswer(f"{self._name} did not answer in JSON-RPC")
        error = answer.get("error")
        if error is None:
            if "result" not in answer:
                raise BadAnswer(f"{self._name} answered without a result")
            return answer["result"]
        code, message = _error_parts(error)
        if code == 3 or any(word in message.lower() for word in _FAILED_WORDS):
            return CallFailed(message)
        return await self._refuse(error)

    async def _refuse(self, error: Any) -> None:
        """Raise what an error of the node itself means.

        :raises RateLimited: it asks for a pause
        :raises RetryLater: anything else
        """
        code, message = _error_parts(error)
        if code in _LIMIT_CODES or any(word in message.lower() for word in _LIMIT_WORDS):
            await self.budget.drain()
            raise RateLimited(f"{self._name} asked for a pause ({message})")
        raise RetryLater(f"{self._name} refused a request: {message} ({code})")


def _error_parts(error: Any) -> tuple[int, str]:
    if not isinstance(error, dict):
        return 0, str(error)[:120]
    code = error.get("code")
    return code if isinstance(code, int) else 0, str(error.get("message", ""))[:120]


def _retry_after_s(headers: Any) -> float | None:
    """Return the seconds that a refusal asks for, where it names them as a number."""
    value = (headers or {}).get("Retry-After", "")
    return float(value) if value.isdigit() else None
