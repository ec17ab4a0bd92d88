"""What all tables of a recipe have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A table of a recipe: an unknown key is an error, and nothing changes it once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
