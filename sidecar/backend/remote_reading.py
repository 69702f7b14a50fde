"""What a remote session's answers say, read without trusting their shape. Pure.

Our own sidecar says more than the published answer promises, the hosted service perhaps less. What
is not there is filled in as far as anybody asks for it; what looks wrong is left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from sidecar.backend.base import Prompt
from sidecar.core.ids import BASELINE
from sidecar.core.prompt import SYSTEM_ROLES, Demo, Pattern, Wildcard
from sidecar.core.session import Status
from sidecar.engine.config import ROOTS, read_prompt
from sidecar.errors import InvalidRequest

ANY = Pattern(("", ""), (Wildcard("\0", required=False),))
"""The baseline of a session about which nothing is known: every call is the session's, as the
backend sees it. Its hole has a name that no text can mention."""


def pattern_in(request: Mapping[str, Any]) -> Pattern | None:
    """The baseline that a create request begins with, if it says one that can be read."""
    body = request.get("config_body")
    for root in ROOTS:
        section = body.get(root) if isinstance(body, Mapping) else None
        if isinstance(section, Mapping):
            try:
                return Pattern.parse(*read_prompt(section.get("initial_prompt"), root))
            except InvalidRequest:
                return None  # the backend may know better
    return None


def pattern_shown(status: Mapping[str, Any]) -> Pattern | None:
    """The baseline that a status shows, if it also says which parts of it the application fills
    in: without that, its text is no pattern."""
    wildcards = status.get("wildcards")
    text = texts_of(status).get(BASELINE)
    if text is None or not isinstance(wildcards, Mapping):
        return None
    holes = [Wildcard(str(name), need == "REQUIRED") for name, need in wildcards.items()]
    return Pattern.parse(text, holes)


def algorithm_in(request: Mapping[str, Any]) -> str | None:
    """The algorithm that a create request asks for."""
    body = request.get("config_body")
    for root in ROOTS:
        section = body.get(root) if isinstance(body, Mapping) else None
        named = section.get("algorithm") if isinstance(section, Mapping) else None
        if isinstance(named, str):
            return named
    return None


def texts_of(status: Mapping[str, Any]) -> dict[str, str]:
    """The prompts of the candidates that show theirs, by id."""
    found = {}
    for candidate in _objects(status.get("candidates")):
        candidate_id, text = candidate.get("candidate_id"), _text(candidate)
        if isinstance(candidate_id, str) and text is not None:
            found[candidate_id] = text
    return found


def demos_of(status: Mapping[str, Any], candidate_id: str) -> tuple[Demo, ...]:
    """The demonstrations of a candidate."""
    for candidate in _objects(status.get("candidates")):
        if candidate.get("candidate_id") == candidate_id:
            shown = [(d.get("user"), d.get("assistant")) for d in _objects(candidate.get("demos"))]
            return tuple(
                Demo("", user, said)
                for user, said in shown
                if isinstance(user, str) and isinstance(said, str)
            )
    return ()


def good_prompt(status: Mapping[str, Any], pattern: Pattern) -> Prompt | None:
    """The prompt that serves by default now: what is pinned, else what is proven, else what is
    called the best. None where that is the application's own, or cannot be known."""
    if status.get("status") == Status.CANCELLED or pattern is ANY:
        return None
    safety = status.get("safety")
    pinned = safety.get("pinned") if isinstance(safety, Mapping) else None
    chosen = pinned or status.get("incumbent_id") or status.get("best_candidate_id")
    if not isinstance(chosen, str) or chosen == BASELINE:
        return None
    text = texts_of(status).get(chosen)
    return None if text is None else Prompt(pattern, text, demos_of(status, chosen))


def completed(status: Mapping[str, Any], session_id: str, algorithm: str) -> dict[str, Any]:
    """The status with everything that our own routes ask of one."""
    candidates = [
        {
            "parent_id": None,
            "avg_reward": None,
            "rollout_count": 0,
            "reward_count": 0,
            "is_baseline": one["candidate_id"] == BASELINE,
            "role": "control" if one["candidate_id"] == BASELINE else "challenger",
            **one,
        }
        for one in _objects(status.get("candidates"))
        if isinstance(one.get("candidate_id"), str)
    ]
    expected = {
        "job_id": "",
        "mode": "online",
        "status": Status.STARTED.value,
        "rollout_count": 0,
        "reward_count": 0,
        "candidate_count": len(candidates),
        "safety": {"events": []},
        "metadata": {},
    }
    said = {name: value for name, value in status.items() if value is not None}
    own = {"session_id": session_id, "algorithm": algorithm, "candidates": candidates}
    return {**status, **expected, **said, **own}


def export_from(status: Mapping[str, Any], candidate_id: str | None) -> dict[str, Any] | None:
    """An export made of what a status shows; None when it does not show that candidate's text."""
    chosen = candidate_id or status.get("incumbent_id") or status.get("best_candidate_id")
    candidates = {one["candidate_id"]: one for one in status["candidates"]}
    texts = texts_of(status)
    if not isinstance(chosen, str) or chosen not in candidates or chosen not in texts:
        return None
    lineage: list[dict[str, Any]] = []
    at: Any = chosen
    while isinstance(at, str) and at in texts and at not in {of["candidate_id"] for of in lineage}:
        lineage.append({"candidate_id": at, "text": texts[at], "origin": ""})
        at = candidates[at]["parent_id"]
    text = texts[chosen]
    messages = [{"role": "system", "content": text}]
    told = {"session_id": status["session_id"], "text": text, "messages": messages}
    return {**candidates[chosen], **told, "lineage": lineage}


def call_base(answer: Mapping[str, Any]) -> str | None:
    """Where an answer says that the session's calls go, without `/chat/completions`."""
    for name in ("online_url", "proxy_url", "chat_completions_url"):
        url = answer.get(name)
        if isinstance(url, str) and url:
            return url.rstrip("/").removesuffix("/chat/completions")
    return None


def origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of a plain http(s) URL; None for anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    unusual = parts.username is not None or parts.query or parts.fragment
    if unusual or not parts.hostname or not (url.isascii() and url.isprintable()) or " " in url:
        return None
    return parts.scheme, parts.hostname, port


def _text(candidate: Mapping[str, Any]) -> str | None:
    """Where prompts are looked for, in the order of the published demos; ours first."""
    places: list[Any] = [candidate.get("text")]
    stages = candidate.get("stage_payloads")
    for stage in stages.values() if isinstance(stages, Mapping) else ():
        if isinstance(stage, Mapping):
            lines = stage.get("instruction_lines")
            places += [stage.get("instruction_text"), _joined(lines)]
    deltas = candidate.get("deltas")
    if isinstance(deltas, Mapping):
        places += [deltas.get(name) for name in ("instruction_text", "text", "content")]
    for message in _objects(candidate.get("baseline_messages")):
        if message.get("role") in SYSTEM_ROLES:
            places += [message.get("content"), message.get("pattern")]
    return next((text for text in places if isinstance(text, str) and text), None)


def _joined(lines: Any) -> str | None:
    if isinstance(lines, list) and lines and all(isinstance(line, str) for line in lines):
        return "\n".join(lines)
    return None


def _objects(value: Any) -> Sequence[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
