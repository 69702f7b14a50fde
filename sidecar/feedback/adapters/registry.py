"""The kinds of sources there are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sidecar.feedback.adapters import generic
from sidecar.feedback.adapters.base import Adapter
from sidecar.feedback.adapters.options import OptionProblem


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of source."""

    read: Adapter
    check: Callable[[Mapping[str, Any]], list[OptionProblem]]
    """All that is wrong with a source's options; `read` relies on there being nothing."""
    description: str
    """One line, for people who choose."""


ADAPTERS: Mapping[str, Source] = MappingProxyType(
    {"generic": Source(generic.read, generic.check, "our own grammar")}
)
