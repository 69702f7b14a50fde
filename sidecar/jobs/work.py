"""What the parts of a policy job work with."""

from dataclasses import dataclass

from sidecar.jobs.book import Book
from sidecar.jobs.journal import Journal
from sidecar.jobs.meter import Meter
from sidecar.jobs.policy import PolicyConfig


@dataclass(frozen=True, slots=True)
class Work:
    """One run of one job."""

    config: PolicyConfig
    meter: Meter
    book: Book
    journal: Journal
    seed: int
    """Of all that is random."""
