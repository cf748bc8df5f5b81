"""Who may use which address, one row for each; `test_matrix.py` tries every row as everybody (SEC-1).

A route without a row fails, and so does a row without a route.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Access(Enum):
    """Whom an address serves."""

    ANYBODY = "anybody, signed in or not"
    PERSON = "whoever is signed in, about themselves"
    OWNER = "the owner of what the address names; to everybody else it does not exist"
    SIGNATURE = "whoever signs the request with the secret of what the address names"
    LINK = "whoever holds the link that was mailed"
    MIDWAY = "whoever is in the middle of signing in; everybody else is led to its beginning"
    CONFIRMED = "whoever is signed in and has just confirmed that it is them, about themselves"
    NOBODY = "nobody: there is nothing"


def _rows(access: Access, names: str) -> dict[str, Access]:
    return dict.fromkeys(names.split(), access)


SITE: Final = {
    **_rows(Access.ANYBODY, "healthz readyz metrics"),
    **_rows(
        Access.ANYBODY,
        """
        account_login account_logout account_signup account_inactive account_email_verification_sent
        account_confirm_login_code account_reset_password account_reset_password_done
        account_reset_password_from_key account_reset_password_from_key_done
        """,
    ),
    **_rows(Access.LINK, "account_confirm_email"),
    **_rows(
        Access.PERSON, "account_reauthenticate account_email account_change_password account_set_password"
    ),
    **_rows(Access.ANYBODY, "mfa_login_webauthn"),
    **_rows(Access.MIDWAY, "mfa_authenticate"),
    **_rows(
        Access.PERSON,
        "mfa_index mfa_list_webauthn mfa_reauthenticate mfa_reauthenticate_webauthn usersessions_list",
    ),
    **_rows(
        Access.CONFIRMED,
        """
        mfa_activate_totp mfa_deactivate_totp mfa_add_webauthn mfa_edit_webauthn mfa_remove_webauthn
        mfa_view_recovery_codes mfa_generate_recovery_codes mfa_download_recovery_codes
        """,
    ),
}
PAGES: Final = {
    **_rows(Access.ANYBODY, "dashboard:language_set"),
    **_rows(Access.PERSON, "dashboard:profile_save dashboard:account"),
    **_rows(Access.CONFIRMED, "dashboard:account_export dashboard:account_delete"),
    **_rows(Access.OWNER, "dashboard:session_end"),
    **_rows(Access.PERSON, "dashboard:tokens"),
    **_rows(Access.PERSON, "dashboard:home dashboard:portfolio_new dashboard:agents dashboard:keys"),
    **_rows(Access.PERSON, "dashboard:imports"),
    **_rows(Access.PERSON, "dashboard:alerts dashboard:alerts_read dashboard:alert_quiet"),
    **_rows(
        Access.OWNER,
        """
        dashboard:import
        dashboard:alert_channel dashboard:alert_channel_test dashboard:alert_channel_remove
        dashboard:agent_edit dashboard:agent_secret dashboard:agent_remove dashboard:key_rename
        dashboard:key_revoke dashboard:portfolio dashboard:portfolio_equity dashboard:position
        dashboard:position_candles dashboard:traders dashboard:trader
        dashboard:weights_save dashboard:trader_add
        dashboard:demo_follow
        dashboard:follow_signals dashboard:follow_remove dashboard:follow_style dashboard:follow_move
        dashboard:conflicts dashboard:conflict dashboard:orders dashboard:order dashboard:closed
        dashboard:data dashboard:ledger dashboard:risk dashboard:money dashboard:cash_deposit
        dashboard:cash_withdraw
        dashboard:cash_reset dashboard:live dashboard:live_ask dashboard:settings dashboard:limits_save
        dashboard:exit_defaults_save dashboard:override_set dashboard:override_remove dashboard:block_add
        dashboard:block_remove dashboard:token_end
        """,
    ),
}
API: Final = {
    **_rows(Access.ANYBODY, "api:token api:schema api:docs"),
    **_rows(Access.PERSON, "api:logout api:imports api:agents api:credentials api:portfolios"),
    **_rows(Access.PERSON, "api:alerts api:alerts_read api:quiet_hours api:alert_channels"),
    **_rows(Access.PERSON, "api:tokens api:me"),
    **_rows(
        Access.OWNER,
        """
        api:alert_channel api:alert_channel_test
        api:import api:agent api:agent_secret api:credential api:portfolio api:follows api:follow
        api:changes api:independence api:signals
        api:style_dismiss api:weights api:decisions api:export api:commands api:command
        api:emergency_stop api:orders
        api:order api:position_exits api:exit_defaults api:exits api:capital api:capital_requests
        api:capital_request api:capital_use api:live api:audit api:token_end
        api:settings api:conflict_rule api:blocked api:limits api:risk api:trips api:trip_reset api:equity
        api:positions api:positions_closed api:position api:position_candles api:fills api:ledger
        api:cash_deposit api:cash_withdraw api:cash_reset api:conflicts api:conflict api:approvals
        api:approve api:reject api:catalogue api:trader_preview api:follow_card
        """,
    ),
    **_rows(Access.SIGNATURE, "api:agent_positions"),
    **_rows(Access.NOBODY, "api:nothing"),
}
ROUTES: Final = {**SITE, **PAGES, **API}
SOCKETS: Final = {"ws/portfolios/<int:portfolio_id>/": Access.OWNER}
