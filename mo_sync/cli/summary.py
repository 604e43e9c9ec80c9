"""A pass in words: what came in, what became of it, what the ledger holds, what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mo_sync.cli.output import counted, local_time
from mo_sync.errors import ExitCode
from mo_sync.ledger.applications import Troubled
from mo_sync.lifecycle import Standing
from mo_sync.service import Summary

__all__ = ["as_json", "lines"]

_NEXT = {
    ExitCode.WORK_REMAINS: "Work remains: run it again later, or let `mo-sync run` do so.",
    ExitCode.NEEDS_A_PERSON: "Something needs a person: `mo-sync ledger list --problems` says what and why.",
    ExitCode.NOTHING_POSSIBLE_NOW: "Nothing could be fetched now: see `mo-sync doctor`. Nothing was lost.",
}


def as_json(summary: Summary) -> dict[str, Any]:
    """The summary for a program."""
    return {**asdict(summary), "exit_code": int(summary.exit_code)}


def lines(summary: Summary, recorded: Mapping[str, int] | None = None) -> list[str]:
    """The summary for a person, a line a fact; nothing that did not happen is mentioned.

    ``recorded`` counts what the ledger holds besides attachments; it is asked for when there are none.
    """
    told = [_events(summary), _settled(summary), _ledger(summary, recorded or {})]
    told += [_rests(one) for one in summary.applications]
    if summary.receipt.rejected:
        told.append("Rejected: what was not understood lies in rejected/ below the drop folder, each with its reason.")
    if summary.recovered:
        told.append(
            f"Inbox: {counted(summary.recovered, 'message')} that nobody had announced;"
            " see docs/inbox.md if that recurs."
        )
    told += [f"Inbox out of reach: {trouble}. It is looked into again." for trouble in summary.inbox_troubles]
    if summary.paused:
        told.append(f"Paused: {summary.paused}. It goes on by itself when that is mended.")
    if summary.left_alone:
        files = counted(summary.left_alone, "dropped file")
        told.append(f"Left alone: {files} that cannot be taken; the log says which and why.")
    if summary.beside:
        told.append(
            f"Beside: another mo-sync is at work here ({', '.join(summary.beside)}); leases keep the two apart."
        )
    if summary.interrupted:
        told.append("Stopped early: what was not finished is due again, and no attempt was used up.")
    told.append(_NEXT.get(summary.exit_code, "All settled."))
    return told


def _rests(one: Troubled) -> str:
    when = f", tried again {local_time(one.until)}" if one.until is not None else ""
    advice = f"; mend it, then `mo-sync ledger release --application {one.id}`" if one.standing is Standing.HELD else ""
    return f"{one.standing.capitalize()}: application {one.id}{when}: {one.reason}{advice}"


def _events(summary: Summary) -> str:
    receipt = summary.receipt
    counts = {
        "new": receipt.new,
        "repeated": receipt.duplicate,
        "ignored": receipt.ignored,
        "rejected": receipt.rejected,
    }
    return "Events: " + (_counted(counts) or "none")


def _settled(summary: Summary) -> str:
    done = _counted(summary.settled) or "none was due"
    size = f" ({counted(summary.stored_bytes, 'byte')})" if summary.stored_bytes else ""
    return f"Attachments: {done}{size} in {_span(summary.took_s)}"


def _span(seconds: float) -> str:
    minutes, rest_s = divmod(round(seconds), 60)
    return f"{minutes:,} min {rest_s} s" if minutes else f"{seconds:.1f} s"


def _ledger(summary: Summary, recorded: Mapping[str, int]) -> str:
    besides = ", ".join(counted(count, name.removesuffix("s")) for name, count in recorded.items() if count)
    return "Ledger: " + (_counted(summary.ledger) or (f"no attachments, {besides}" if besides else "empty"))


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
