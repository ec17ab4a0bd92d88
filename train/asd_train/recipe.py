"""Recipes: TOML files that state a system completely. An unknown key is an error."""

from __future__ import annotations

import hashlib
import sys
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from asd_edge.dsp.front_end import FrontEndSpec
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.errors import ConfigError
from asd_edge.scoring.aggregation import WindowSpec
from asd_edge.scoring.backends.kinds import AnyBackend
from asd_edge.scoring.backends.nearest_centre import NearestCentre

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TFResNetSize(_Table):
    """The TF-attention ResNet and its size."""

    kind: Literal["tf_resnet"]
    width: float = Field(ge=1 / 16, le=2)  # of 16 channels in the first stage at least one is left
    pooling: Literal["attention", "average", "max"]
    heads: int = Field(ge=1)
    dims: int = Field(ge=2)


class MobileNetV2Size(_Table):
    """MobileNetV2 and its size."""

    kind: Literal["mobilenetv2"]
    width: float = Field(ge=0.25, le=1.4)  # the paper's own end at 0.35 and 1.4
    dims: int = Field(ge=2)


Network = Annotated[TFResNetSize | MobileNetV2Size, Field(discriminator="kind")]
"""Which network, and its size: `kind` decides which keys there are."""


class Phase(_Table):
    """A stretch of training with one learning rate."""

    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)


class Mixup(_Table):
    """mixup_intype: pairs within a machine type, λ ~ Beta(alpha, alpha); alpha = 0 switches it off."""

    alpha: float = Field(ge=0)


class Training(_Table):
    """Loss, optimiser and schedule."""

    crop_frames: int = Field(ge=8)
    batch: int = Field(ge=2)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    logit_scale: float = Field(gt=0)
    mixup: Mixup
    schedule: tuple[Phase, ...] = Field(min_length=1)

    @property
    def epochs(self) -> int:
        """Passes over the training clips."""
        return sum(phase.epochs for phase in self.schedule)


class CalibrationRule(_Table):
    """How thresholds are found: share of source normals kept out of training, and the quantile of their scores."""

    held_out: float = Field(gt=0, lt=0.5)
    quantile: float = Field(gt=0.5, lt=1)


class FineTuning(_Table):
    """How `asd-train imprint --finetune` adapts a trained network to a few target clips (docs/finetuning.md).

    `batch`: crops an iteration. `source_clips`: clips a source class whose centre joins a single target class.
    """

    iterations: int = Field(ge=1)
    batch: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    source_clips: int = Field(ge=1)


class Recipe(_Table):
    """A system: front end, segments, network, training, scoring.

    `embedder`: how the device runs the network, on whole segments or with the sound (docs/streaming.md).
    """

    name: str
    embedder: Literal["segment", "stream"]
    front_end: FrontEndSpec
    segment: SegmentSpec
    window: WindowSpec
    aggregation: Literal["mean", "power"]
    network: Network
    training: Training
    backend: AnyBackend = NearestCentre()
    calibration: CalibrationRule
    finetune: FineTuning | None = None  # runs from before fine-tuning have none

    @model_validator(mode="after")
    def _streamable(self) -> Recipe:
        if self.embedder == "segment":
            return self
        if not isinstance(self.network, TFResNetSize) or self.network.pooling == "max":
            raise ValueError('embedder = "stream" with a network that strides in time or pools by maximum')
        if self.segment.frames % self.segment.step:
            raise ValueError(f"segments of {self.segment.frames} frames every {self.segment.step} in a stream")
        return self

    @property
    def sha256(self) -> str:
        """Digest of everything the recipe states."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class About(_Table):
    """What a recipe is: the `[about]` table, which is for people and no part of the system's digest."""

    system: str
    paper: str
    needs: str


def about_recipe(name: str) -> About:
    """Return what a recipe says of itself; `load_recipe` says which errors there are."""
    text = _text(name)
    try:
        return About.model_validate(tomllib.loads(text).get("about", {}))
    except tomllib.TOMLDecodeError as error:
        raise _broken(name, str(error)) from None
    except ValidationError as error:
        raise _broken(name, "about." + _found(error.errors()[0])) from None


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    folder = resources.files("asd_train") / "recipes"
    return sorted(path.name.removesuffix(".toml") for path in folder.iterdir() if path.name.endswith(".toml"))


def load_recipe(name: str, *, fast: bool = False) -> Recipe:
    """Load a recipe by name or by path of a TOML file.

    Args:
        name: a name from `recipe_names()` or a path.
        fast: apply the recipe's `[fast]` table, which replaces what a small data set and a CPU cannot afford.

    Raises:
        ConfigError: no such recipe, or one that cannot be used as written.
    """
    text = _text(name)
    try:
        tables = tomllib.loads(text)
        shortcut = tables.pop("fast", {})
        tables.pop("about", None)
        return Recipe.model_validate(_merged(tables, shortcut) if fast else tables)
    except tomllib.TOMLDecodeError as error:
        raise _broken(name, str(error)) from None
    except ValidationError as error:
        raise _broken(name, _found(error.errors()[0])) from None


def _text(name: str) -> str:
    if name in recipe_names():
        return (resources.files("asd_train") / "recipes" / f"{name}.toml").read_text("utf-8")
    try:
        return Path(name).read_text("utf-8")
    except OSError:
        raise ConfigError(
            f"There is no recipe {name!r}",
            found="neither a recipe of that name nor a readable file",
            expected=f"one of {', '.join(recipe_names())}, or the path of a TOML file",
            remedy="Choose one of these: --recipe tf_resnet",
        ) from None


def _found(error: ErrorDetails) -> str:
    """Name the key as the recipe spells it: pydantic calls the kind a tag, and puts it beneath its table."""
    location, context = error["loc"], error.get("ctx", {})
    if not location:  # two tables that do not go together
        return error["msg"].removeprefix("Value error, ")
    if error["type"] == "union_tag_not_found":
        return f"{location[0]}.kind: Field required"
    if error["type"] == "union_tag_invalid":
        return f"{location[0]}.kind: Input should be one of {context['expected_tags']} (got {context['tag']!r})"
    kind = f" of kind {location[1]}" if location[0] in ("network", "backend") and len(location) > 1 else ""
    keys = (*location[:1], *location[2:]) if kind else location
    return f"{'.'.join(map(str, keys))}{kind}: {error['msg']} (got {error['input']!r})"


def _broken(name: str, found: str) -> ConfigError:
    return ConfigError(
        f"The recipe {name} cannot be used",
        found=found,
        expected=f"the tables and keys of one of these recipes: {', '.join(recipe_names())}",
        remedy="Mend that key; unknown keys are errors.",
    )


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over` laid over it, table by table."""
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        if isinstance(value, dict) and isinstance(inner, dict):
            merged[key] = _merged(inner, value)
        else:
            merged[key] = value
    return merged
