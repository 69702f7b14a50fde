"""How a session makes one reward of what was said, and what one user may do."""

from dataclasses import fields

from sidecar.api.openapi.model import Json, array, integer, number, record, ref, text
from sidecar.engine.credit import RULES
from sidecar.engine.rules import DEFAULT_CREDIT, MEASURED, SAID, Influence

_WEIGHT = number("What it weighs against the others.", exclusiveMinimum=0, maximum=1e6)
_LIMITS = {
    "cap": "Rewards of one actor that count for a candidate, against the average actor's …",
    "cap_share": "… or this part of the candidate's …",
    "cap_least": "… or so many, whichever is most.",
    "winsorise": "Part of a conversation's actors at either end who count as the next one.",
    "min_actors": "Distinct actors that a candidate needs to be promoted.",
    "quarantine": "Standard errors that newcomers may differ by before they are held back; 0: any.",
    "quarantine_hours": "How long they are held back at least.",
}


def _limits() -> dict[str, Json]:
    defaults = {f.name: f.default for f in fields(Influence)}
    return {
        name: (integer if isinstance(defaults[name], int) else number)(
            said, minimum=0, default=defaults[name]
        )
        for name, said in _LIMITS.items()
    }


RULE_FIELDS: dict[str, Json] = {
    "objectives": ref("Objectives"),
    "credit": text(
        "How ratings of single turns make a conversation's reward.",
        enum=list(RULES),
        default=DEFAULT_CREDIT,
    ),
    "influence": ref("InfluenceDials"),
}

SCHEMAS: dict[str, Json] = {
    "Objectives": record(
        {**dict.fromkeys(SAID, _WEIGHT), **dict.fromkeys(MEASURED, ref("MeasuredObjective"))},
        "Weights by signal; `score:NAME` is the metric NAME. Signals that are missing in a "
        "conversation leave their weight to the others. Without any, an actor's last score is the "
        "reward.",
        additionalProperties=_WEIGHT,
    ),
    "MeasuredObjective": record(
        {
            "weight": _WEIGHT,
            "best": number("Counts as 1: seconds of a turn, or tokens of the conversation …"),
            "worst": number("… and as 0."),
        },
        require="weight best worst",
        additionalProperties=False,
    ),
    "InfluenceDials": record(
        {
            **_limits(),
            "anonymous": text(
                "Events without an actor: each conversation has one of its own, or all share one.",
                enum=["each", "shared"],
                default="each",
            ),
            "trusted": array(text(), "Actors without limits, such as an evaluator."),
        },
        "What one user may do.",
        additionalProperties=False,
    ),
}
