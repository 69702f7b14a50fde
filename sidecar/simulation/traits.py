"""All traits, in the order in which their fragments stand in a reply."""

from sidecar.simulation.behaviours import BEHAVIOURS
from sidecar.simulation.habits import CONTRACT, HABITS, TERSE
from sidecar.simulation.trait import Trait

TRAITS: tuple[Trait, ...] = (*BEHAVIOURS, *HABITS, CONTRACT)
TERSE_AT = TRAITS.index(TERSE)
CONTRACT_AT = TRAITS.index(CONTRACT)


def shown_in(reply: str) -> int:
    """The traits a reader sees in a reply, as a bit mask over `TRAITS`."""
    mask = sum(1 << i for i, trait in enumerate(TRAITS) if trait.shown_in(reply))
    return mask | (len(reply.split()) < 10) << TERSE_AT
