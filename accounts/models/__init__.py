"""People and their portfolios, what they keep with us of accounts elsewhere, and the audit log."""

from accounts.models.audit import AuditEntry
from accounts.models.credentials import Credential
from accounts.models.devices import KnownDevice
from accounts.models.live import RAMP, LiveAccount, LiveFinding, LiveHolding
from accounts.models.people import (
    OWN_PROFILE,
    POLICY_CHOICES,
    PROFILE_CHOICES,
    RULE_CHOICES,
    Portfolio,
    User,
    UserManager,
)
from accounts.models.tokens import ApiToken, KeptAnswer

__all__ = [
    "OWN_PROFILE",
    "POLICY_CHOICES",
    "PROFILE_CHOICES",
    "RAMP",
    "RULE_CHOICES",
    "ApiToken",
    "AuditEntry",
    "Credential",
    "KeptAnswer",
    "KnownDevice",
    "LiveAccount",
    "LiveFinding",
    "LiveHolding",
    "Portfolio",
    "User",
    "UserManager",
]
