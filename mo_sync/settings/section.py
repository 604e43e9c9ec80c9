"""What every section of the settings has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Section"]


class Section(BaseModel):
    """Frozen; an unknown key is an error; defaults are held to the same rules as what is given."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
