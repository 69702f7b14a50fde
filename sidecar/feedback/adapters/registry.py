"""The kinds of sources there are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sidecar.errors import InvalidRequest
from sidecar.feedback.adapters import (
    cloudevents,
    declared,
    generic,
    intercom,
    langfuse,
    langsmith,
    opentelemetry,
    slack,
    tensorzero,
    zendesk,
)
from sidecar.feedback.adapters.base import Adapter
from sidecar.feedback.adapters.options import OptionProblem, Options


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of source."""

    read: Adapter
    check: Callable[[Options], list[OptionProblem]]
    """All that is wrong with a source's options; `read` relies on there being nothing."""
    description: str
    """One line, for people who choose."""


ADAPTERS: Mapping[str, Source] = MappingProxyType(
    {
        "generic": Source(generic.read, generic.check, "our own grammar, also in an envelope"),
        "cloudevents": Source(cloudevents.read, cloudevents.check, "CloudEvents 1.0 over HTTP"),
        "langfuse": Source(langfuse.read, langfuse.check, "Langfuse scores"),
        "langsmith": Source(langsmith.read, langsmith.check, "LangSmith feedback"),
        "tensorzero": Source(tensorzero.read, tensorzero.check, "TensorZero feedback"),
        "opentelemetry": Source(
            opentelemetry.read, opentelemetry.check, "evaluation results in OTLP logs (JSON)"
        ),
        "slack": Source(slack.read, slack.check, "Slack buttons and reactions"),
        "intercom": Source(intercom.read, intercom.check, "Intercom conversation ratings"),
        "zendesk": Source(zendesk.read, zendesk.check, "Zendesk satisfaction ratings"),
        "declared": Source(declared.read, declared.check, "any JSON, by paths in the options"),
    }
)


def source_of(kind: str) -> Source:
    """The source of this kind. Raises `InvalidRequest`."""
    if kind not in ADAPTERS:
        raise InvalidRequest(f"{kind!r} is not a kind of source; there are {', '.join(ADAPTERS)}")
    return ADAPTERS[kind]
