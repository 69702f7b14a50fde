"""Which rollout an event is about, from what its ids are known to name. Pure."""

from collections.abc import Sequence

from sidecar.core.feedback import FeedbackEvent
from sidecar.core.rollout import Assignment
from sidecar.errors import InvalidFeedback
from sidecar.store.base import LOCATED


def resolve(
    event: FeedbackEvent,
    by_rollout: Sequence[Assignment],
    by_completion: Sequence[Assignment],
    by_text: Sequence[Assignment] = (),
) -> Assignment | None:
    """The one assignment that all known ids agree on; None while none of them is known.

    One known id is enough: the other may never become known (a completion whose capture was
    dropped), and feedback that waits for it would be lost. The text of a reply is no id: people get
    the same answers. So it says which rollout only where no id is given, and beside an id it only
    decides where that one leaves a choice.

    Raises `InvalidFeedback` when the known ids contradict each other or leave a choice: guessing
    would reward the wrong prompt.
    """
    if not (event.rollout_id or event.completion_id or event.correlation_id):
        return _by_text(event, by_text)
    known = [set(found) for found in (by_rollout, by_completion) if found]
    if not known:
        return None
    agreed = set.intersection(*known)
    if not agreed:
        raise InvalidFeedback(
            "completion_id belongs to another rollout than the one named", param="completion_id"
        )
    if event.session_id is not None:
        agreed = {found for found in agreed if found.session_id == event.session_id}
        if not agreed:
            raise InvalidFeedback("session_id is not the rollout's session", param="session_id")
    if len(agreed) > 1 and len(by_text) < LOCATED:
        agreed = agreed.intersection(by_text) or agreed
    if len(agreed) > 1:
        raise _ambiguous(agreed)
    return agreed.pop()


def _by_text(event: FeedbackEvent, found: Sequence[Assignment]) -> Assignment | None:
    """The one assignment, within the session that is named if one is, that gave this reply. Of a
    text that very many have, not all are known, so none of them is the only one."""
    agreed = {one for one in found if event.session_id in {None, one.session_id}}
    if len(agreed) > 1 or len(found) >= LOCATED:
        raise InvalidFeedback(
            "several rollouts gave a reply with this text: give rollout_id, completion_id or "
            "correlation_id, or session_id if that tells them apart",
            param="rollout_id",
        )
    return agreed.pop() if agreed else None


def _ambiguous(found: set[Assignment]) -> InvalidFeedback:
    if len({assignment.session_id for assignment in found}) > 1:
        return InvalidFeedback(
            "the id exists in several sessions: give session_id too", param="session_id"
        )
    return InvalidFeedback(
        "the completion_id was used in several rollouts: give rollout_id", param="rollout_id"
    )
