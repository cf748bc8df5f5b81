"""When beat wakes what. Every entry expires before it would pile up behind a busy worker."""

from __future__ import annotations

from typing import Any, Final

BEAT_SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "read traders that are due": {"task": "sync.shards", "schedule": 1.0, "options": {"expires": 2}},
    "let strategies decide": {"task": "sync.strategies", "schedule": 1.0, "options": {"expires": 2}},
    "plan portfolios that are due": {"task": "plan.due", "schedule": 1.0, "options": {"expires": 10}},
    "work open orders": {"task": "orders.work", "schedule": 1.0, "options": {"expires": 2}},
    "turn to accounts at venues": {"task": "live.due", "schedule": 1.0, "options": {"expires": 2}},
    "tend stops at the venue": {"task": "orders.stops", "schedule": 1.0, "options": {"expires": 2}},
    "work standing triggers": {"task": "exits.work", "schedule": 1.0, "options": {"expires": 2}},
    "sweep guarded positions": {"task": "exits.sweep", "schedule": 5.0, "options": {"expires": 5}},
    "run commands": {"task": "commands.sweep", "schedule": 1.0, "options": {"expires": 2}},
    "value portfolios": {"task": "upkeep.value", "schedule": 2.0, "options": {"expires": 4}},
    "settle with the venue": {"task": "upkeep.reconcile", "schedule": 30.0, "options": {"expires": 30}},
    "charge funding": {"task": "upkeep.fund", "schedule": 5.0, "options": {"expires": 10}},
    "expire reservations": {
        "task": "upkeep.expire_reservations",
        "schedule": 1.0,
        "options": {"expires": 2},
    },
    "tell people": {"task": "alerts.deliver", "schedule": 2.0, "options": {"expires": 2}},
    "watch what lasts": {"task": "alerts.watch", "schedule": 10.0, "options": {"expires": 10}},
    "watch the platform": {"task": "alerts.platform", "schedule": 30.0, "options": {"expires": 30}},
    "lapse approvals": {"task": "upkeep.lapse_approvals", "schedule": 5.0, "options": {"expires": 10}},
    "measure copied fills": {"task": "upkeep.fidelity", "schedule": 5.0, "options": {"expires": 5}},
    "judge traders' style": {"task": "upkeep.style", "schedule": 60.0, "options": {"expires": 60}},
    "tell of lost traders": {"task": "upkeep.lost_traders", "schedule": 600.0, "options": {"expires": 600}},
    "check keys of accounts": {"task": "upkeep.check_keys", "schedule": 600.0, "options": {"expires": 600}},
    "read rules of venues": {
        "task": "upkeep.venue_rules",
        "schedule": 600.0,
        "options": {"expires": 600},
    },
    "prune old reads": {"task": "upkeep.prune", "schedule": 3600.0, "options": {"expires": 3600}},
    "audit the books": {"task": "upkeep.audit", "schedule": 86400.0, "options": {"expires": 86400}},
}
