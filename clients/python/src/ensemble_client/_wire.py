"""One HTTP request: JSON there and back, errors as this package's own. Redirects are not followed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from ensemble_client.errors import BY_STATUS, ServerFault, Unavailable


class Wire:
    """Sends requests to one server; each on a connection of its own, so threads may share it.

    :raises ValueError: the address is not http:// or https://
    """

    def __init__(self, base_url: str, *, timeout_s: float) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            msg = f"the server's address must begin with http:// or https://, got {base_url!r}"
            raise ValueError(msg)
        self._connection = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path.rstrip("/")
        self._timeout_s = timeout_s

    def path_of(self, path: str) -> str:
        """Return the path of an address of the API, as the server sees it."""
        return f"{self._path}/api/v1/{path}"

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: Mapping[str, Any] | bytes | None = None,
    ) -> Any:
        """Return the decoded answer.

        :param body: to be written as JSON, or JSON already

        :raises EnsembleError: the server refused, failed, or did not answer
        """
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        told = {"Accept": "application/json", **headers}
        if sent is not None:
            told["Content-Type"] = "application/json"
        connection = self._connection(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request(method, self.path_of(path), body=sent, headers=told)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException) as error:
            raise Unavailable(f"{self._host} does not answer: {error or type(error).__name__}") from error
        finally:
            connection.close()
        return _decoded(answer.status, text, answer.headers.get("Retry-After"))


def _decoded(status: int, text: bytes, retry_after: str | None) -> Any:
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if 200 <= status < 300 and answer is not None:
        return answer
    problem = answer if isinstance(answer, dict) else {}
    kind = BY_STATUS.get(status, ServerFault)
    raise kind(
        str(problem.get("detail") or f"the server answered {status} without a reason"),
        retry_after_s=float(retry_after) if retry_after and retry_after.isdigit() else None,
        fields=problem.get("errors"),
    )
