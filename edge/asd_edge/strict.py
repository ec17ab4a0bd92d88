"""Strict documents: frozen models that refuse unknown keys, and errors that say where and what."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Annotated, Any, NoReturn, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    model_serializer,
)

NAME_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]  # safe in a topic and in a path
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
UtcTime = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$")]

Count = Annotated[int, Field(ge=1, le=65_536)]
Text = Annotated[str, Field(min_length=1, max_length=200)]


def utc_time(seconds: float | None = None) -> str:
    """Return UTC seconds as UtcTime, now without any."""
    moment = datetime.now(timezone.utc) if seconds is None else datetime.fromtimestamp(seconds, tz=timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Strict(BaseModel):
    """A frozen model without conversions: a number in quotes is not a number, an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Sparing(Strict):
    """A strict model that writes no key at its default: a key added later changes no document that lacks it."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told = {name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default}
        return {name: value for name, value in dump(self).items() if name in told}


class RefusalError(Exception):
    """Why a document cannot be used; its reader turns this into an AsdEdgeError that names the file."""

    def __init__(self, found: str, expected: str, remedy: str | None = None) -> None:
        super().__init__(found)
        self.found = found
        self.expected = expected
        self.remedy = remedy


Model = TypeVar("Model", bound=Strict)


def parse_versioned(data: bytes, model: type[Model], *, format: str, version: int) -> Model:
    """Read a JSON document with `format` and `version` keys into `model`.

    The version is looked at first, so that a document of another version is called that and not wrong.

    Raises:
        RefusalError: not JSON, another format or version, or not what the model asks for.
    """
    check_version(data, format=format, version=version)
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise refusal_of(error, model) from None


def check_version(data: bytes, *, format: str, version: int) -> None:
    """Look at a JSON document's `format` and `version` alone.

    Raises:
        RefusalError: not JSON, or another format or version.
    """
    try:
        document = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RefusalError(f"text that is not valid JSON: {error}", "a JSON document") from None
    if not isinstance(document, dict) or document.get("format") != format:
        found = document.get("format") if isinstance(document, dict) else document
        raise RefusalError(f"format {_shown(found)}", f"format {format!r}")
    found_version = document.get("version")
    if type(found_version) is not int or found_version != version:
        newer = type(found_version) is int and found_version > version
        raise RefusalError(
            f"version {_shown(found_version)}" + (", written by a newer asd-edge" if newer else ""),
            f"version {version}",
            "Update asd-edge on this device." if newer else "Make it again with this version of asd-edge.",
        )


def refusal_of(error: ValidationError, model: type[BaseModel], document: Any = None) -> RefusalError:
    """Say the first problem of a failed validation in our words, with its place, and where the others are.

    Args:
        error: of the validation.
        model: what was asked for.
        document: what was read, so that a table in a list is called by its `id`; by its index without it.
    """
    details = error.errors(include_url=False)
    # A mistyped key that is required is two problems: the typing error is the one to say.
    problem = next((detail for detail in details if detail["type"] == "extra_forbidden"), details[0])
    place, kind = problem["loc"], problem["type"]
    at = written(place, document)
    known = list(getattr(_model_at(model, place[:-1]), "model_fields", {})) if kind == "extra_forbidden" else []
    near = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.5) if known else []
    within = {detail["loc"][:end] for detail in details for end in range(len(detail["loc"]))}  # of what is wrong too
    said_already = within | {place} | {(*place[:-1], name) for name in near}
    others = [written(detail["loc"], document) for detail in details if detail["loc"] not in said_already]
    more = f" (also wrong: {', '.join(others[:3])}{' …' if len(others) > 3 else ''})" if others else ""
    if kind == "extra_forbidden":
        expected = f"{near[0]!r} (the nearest known key)" if near else f"one of {', '.join(known)}"
        return RefusalError(f"unknown key {at}{more}", expected)
    if kind == "missing":
        return RefusalError(f"no {at}{more}", f"the key {place[-1]!r}")
    if kind == "value_error":  # ours: its message says what was found
        said = problem["msg"].removeprefix("Value error, ")
        return RefusalError(f"{at}: {said}{more}" if at else f"{said}{more}", "values that fit together")
    shown = _shown(problem["input"])
    return RefusalError(f"{at} = {shown}{more}" if at else f"{shown}{more}", _expected(problem, model))


def written(place: Sequence[int | str], document: Any = None) -> str:
    """Write a place in a document as people do: `machines[fan-7].decision.deadband`, `machines[number 1].id`.

    Without the document it is as a program would count: `machines[0].id`.
    """
    text, part = "", document
    for key in place:
        part = _part(part, key)
        if isinstance(key, str):
            text += f".{key}"
        elif document is None:
            text += f"[{key}]"
        else:
            name = part.get("id") if isinstance(part, dict) else None
            is_name = isinstance(name, str) and re.fullmatch(NAME_PATTERN, name) is not None
            text += f"[{name}]" if is_name else f"[number {key + 1}]"
    return text.removeprefix(".")


def _part(document: Any, key: int | str) -> Any:
    try:
        return document[key]
    except (TypeError, LookupError):  # the key is missing, or stands for the kind of a union
        return None


_WORDS = {  # of pydantic's kinds of errors, or of all that begin so
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text in quotes",
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "{le} or less",
    "less_than": "less than {lt}",
    "string_too_short": "{min_length} or more characters",
    "string_too_long": "{max_length} or fewer characters",
    "too_short": "{min_length} or more of them",
    "too_long": "{max_length} or fewer of them",
    "literal_error": "{expected}",
    "model_type": "a table of keys",
    "tuple": "a list",
}
_PATTERNS = {NAME_PATTERN: "1 to 64 of A-Z a-z 0-9 _ -"}


def _expected(problem: Any, model: type[BaseModel]) -> str:
    """Say in plain words what a value should be; of a pattern, what the field's description says."""
    kind, place, facts = problem["type"], problem["loc"], problem.get("ctx", {})
    if kind == "string_pattern_mismatch":
        field = getattr(_model_at(model, place[:-1]), "model_fields", {}).get(place[-1]) if place else None
        described = None if field is None else field.description
        return _PATTERNS.get(facts["pattern"]) or described or f"text that matches {facts['pattern']}"
    words = _WORDS.get(kind) or _WORDS.get(kind.split("_")[0])
    return problem["msg"].removeprefix("Input should ").removeprefix("be ") if words is None else words.format(**facts)


def _model_at(model: Any, place: Sequence[int | str]) -> Any:
    models = [model]
    for key in place:
        field = models[0].model_fields.get(key)
        if field is not None:
            models = _models_in(field.annotation) or models
        else:  # a place in a list or under a name, or in a union the kind
            models = [part for part in models if _kind_of(part) == key] or models
    return models[0]


def _kind_of(model: Any) -> Any:
    return model.model_fields["kind"].default if "kind" in model.model_fields else None


def _models_in(annotation: Any) -> list[Any]:
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _shown(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)  # as TOML and JSON write it
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key is there twice")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
