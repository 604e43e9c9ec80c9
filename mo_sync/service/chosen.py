"""What the settings ask of the rooms, in their own terms."""

from __future__ import annotations

from mo_sync.backoff import Policy
from mo_sync.scan import Scanner
from mo_sync.settings import Application, Retry, Scan, Settings

__all__ = ["ceilings_of", "furthest_s", "policy_of", "rate_of", "scanner_of"]

_SLACK_S = 60.0


def policy_of(retry: Retry) -> Policy:
    """The retry policy that the settings ask for."""
    return Policy(
        base_s=retry.base,
        max_delay_s=retry.max_delay,
        max_attempts=retry.max_attempts,
        absent_attempts=retry.absent_attempts,
        give_up_after_s=retry.give_up_after,
        snooze_s=retry.snooze,
        hold_s=retry.hold,
    )


def furthest_s(policy: Policy) -> float:
    """No attachment and no application ever waits for longer than this, in seconds."""
    return max(policy.max_delay_s, policy.hold_s, policy.snooze_s, 2 * policy.base_s) + _SLACK_S


def scanner_of(scan: Scan) -> Scanner | None:
    """A scanner, if one is wanted."""
    return Scanner(scan.clamd, timeout_s=scan.timeout, max_bytes=scan.max_bytes) if scan.clamd is not None else None


def ceilings_of(settings: Settings) -> dict[str, int]:
    """How many workers may be at work for an application, for those that have such a bound."""
    return {name: one.workers for name, one in settings.applications.items() if one.workers is not None}


def rate_of(settings: Settings, application_id: str) -> float | None:
    """How many requests a second may be made for an application; None for as many as it bears."""
    own = settings.applications.get(application_id, Application()).requests_per_second
    return settings.gateway.requests_per_second if own is None else own
