"""The error families, named by the recovery they need.

    EnsembleError
    ├── InputError        the person who asked can put it right: show the message
    │   ├── NotFound      no such thing, or not theirs (the two are never told apart)
    │   └── KeyReused     the key of the request stands for another one
    ├── RetryLater        try again after a pause; nothing happened
    │   ├── RateLimited   the other side asked for a pause
    │   └── BadAnswer     an answer came that cannot be used
    ├── UnknownOutcome    something may have happened: ask the venue before acting again
    └── BooksDiffer       a promise about money is broken: stop and tell a person

Every message says what happened, with which value, and what to do next.
"""

from __future__ import annotations


class EnsembleError(Exception):
    """Root of all errors this project raises on purpose."""


class InputError(EnsembleError):
    """The request cannot be carried out as asked; the message is written for the person who asked.

    :param field: the form or API field at fault, where there is one
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class NotFound(InputError):
    """There is no such thing, or it belongs to someone else."""


class KeyReused(InputError):
    """The key that makes a request unrepeatable was sent with another request before."""


class RetryLater(EnsembleError):
    """Nothing happened and the same call may succeed after a pause.

    :param retry_after_s: the pause the other side asked for, where it named one
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateLimited(RetryLater):
    """The venue, or our own budget in front of it, has no request left for now."""


class BadAnswer(RetryLater):
    """An answer came but cannot be used: not JSON, half a body, a missing or absurd value."""


class UnknownOutcome(EnsembleError):
    """A request was sent and no usable answer came; it may have been carried out."""


class BooksDiffer(EnsembleError):
    """Two records of the same money or quantity differ."""
