"""The settings of what is kept: where, for how long, and how it is looked after."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mo_sync.settings.section import Section
from mo_sync.settings.units import Duration, Size

__all__ = ["Ledger", "Retention", "Store", "Verify"]

_DAY_S = 86_400.0


class Ledger(Section):
    """The database that remembers."""

    url: str = Field("sqlite:///ledger.db", description="`sqlite:///FILE` or `postgresql+psycopg://…`.")
    busy_timeout: Duration = Field(10.0, description="How long to wait for another writer.")


class Store(Section):
    """Where the files go."""

    url: str = Field("media", description="A folder (or `file:` URL).")


class Verify(Section):
    """How the daemon looks again at the files that rest in the store."""

    share: float = Field(
        0.01,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="How much of them each time, the longest unverified first.",
    )
    interval: Duration = Field(_DAY_S, ge=60, description="How often.")
    bytes_per_second: Size = Field(20_000_000, ge=1, description="How fast it reads at most.")
    repair: bool = Field(True, description="Have what is missing or damaged fetched again.")


_Kept = Annotated[Duration | None, Field(ge=_DAY_S)]


class Retention(Section):
    """For how long things are kept; without a value for ever. What is pruned is gone: file, rows and history."""

    stored: _Kept = Field(None, description="Attachments that are `stored`, counted from then on.", examples=["730d"])
    quarantined: _Kept = Field(None, description="Those that are `quarantined`.", examples=["90d"])
    missing: _Kept = Field(None, description="Those that are `missing`.", examples=["90d"])
    refused: _Kept = Field(None, description="Those that are `refused`.", examples=["90d"])
    failed: _Kept = Field(None, description="Those that are `failed`.", examples=["90d"])
    cancelled: _Kept = Field(None, description="Those that are `cancelled`.", examples=["90d"])
    erased: _Kept = Field(
        None, description="What stands for those that were `erased`, counted from then.", examples=["730d"]
    )
    messages: _Kept = Field(
        None, description="Messages without attachments (any more), with their events.", examples=["730d"]
    )
    events: _Kept = Field(None, description="Events that announced no message of ours.", examples=["90d"])
    payloads: _Kept = Field(None, description="The bytes of events that were understood.", examples=["90d"])
    done: _Kept = Field(None, description="What lies in the drop folder's `done/`, by its day.", examples=["30d"])
    interval: Duration = Field(3_600.0, ge=60, description="How often the daemon prunes.")
