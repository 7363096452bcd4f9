"""The base of every settings class: frozen, strict, and each knob says unit, reload and why."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from searcher.domain.units import Address, address


class Reload(StrEnum):
    """When a changed value takes effect."""

    HOT = "hot"
    RESTART = "restart"


class Settings(BaseModel):
    """A frozen group of knobs, read from one TOML table; an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=False,
        validate_default=True,
        defer_build=True,  # a validator is built for what is read, not for all that is declared
    )


def knob(
    default: Any = ...,
    *,
    why: str,
    unit: str = "",
    reload: Reload = Reload.RESTART,
    **limits: Any,
) -> Any:
    """Declare a setting.

    Args:
        default: its value when no file, variable or flag gives one; left out, it is required.
        why: one line for the operator.
        unit: the unit of the value, empty when it has none.
        reload: whether a running daemon takes a change.
        **limits: pydantic's `ge`, `le`, `gt`, `lt`, `min_length` and the like.
    """
    extra: dict[str, Any] = {"unit": unit, "reload": reload.value}
    return Field(default, description=why, json_schema_extra=extra, **limits)


def _address(text: str) -> Address:
    return address(text)


AddressSetting = Annotated[str, AfterValidator(_address)]
"""An address in a settings class: any case in the file, lower case in the program."""
