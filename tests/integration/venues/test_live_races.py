"""Two processes that send the same order at once make one of it."""

import threading
from typing import Any

import pytest
from django.db import connection

from core.errors import RetryLater
from execution.venues.base import Accepted
from tests.integration.venues.stands import LoopbackStand
from tests.running import wait_until


@pytest.mark.django_db(transaction=True)
def test_two_at_once_send_one_order(live: LoopbackStand) -> None:
    live.price("50000")
    request = live.request(limit="49000")
    held = live.exchange.fault("slow", where=live.sends)
    answers: list[Any] = []

    def send() -> None:
        try:
            answers.append(live.submit(request))
        except RetryLater as error:
            answers.append(error)
        finally:
            connection.close()

    first = threading.Thread(target=send)
    first.start()
    wait_until(lambda: held.times <= 0, what="the first sending")
    second = threading.Thread(target=send)
    second.start()
    second.join(timeout=20)
    held.released.set()
    first.join(timeout=20)
    assert isinstance(answers[-1], Accepted)  # the first one, which was held up on its way back
    assert answers[0] == answers[-1] or isinstance(answers[0], RetryLater)
    assert live.taken(request.client_order_id) == 1
    assert len(live.sent()) == 1
