"""What a rule finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with a setting, and which others it was judged by."""

    name: str
    message: str
    judged_by: tuple[str, ...] = ()
