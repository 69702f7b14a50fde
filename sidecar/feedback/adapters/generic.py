"""Our own JSON: what `POST /feedback` takes, one object or an array."""

from collections.abc import Mapping
from typing import Any

import orjson

from sidecar.errors import InvalidFeedback
from sidecar.feedback.adapters.base import Reading, Webhook
from sidecar.feedback.adapters.options import OptionProblem


def check(options: Mapping[str, Any]) -> list[OptionProblem]:
    """There are none."""
    return [OptionProblem(name, "the kind 'generic' has no options") for name in options]


def read(webhook: Webhook, options: Mapping[str, Any]) -> Reading:  # noqa: ARG001  there are none
    """See `Adapter`."""
    try:
        body = orjson.loads(webhook.body)
    except orjson.JSONDecodeError as error:
        raise InvalidFeedback(f"the body is not valid JSON: {error}") from None
    return Reading(tuple(body) if isinstance(body, list) else (body,))
