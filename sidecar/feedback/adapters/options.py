"""The options of a source, and what may be wrong with them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OptionProblem:
    """One thing that is wrong with a source's options."""

    option: str
    """Its place: `metrics.helpful.min`."""
    message: str
    """What must be there instead."""
