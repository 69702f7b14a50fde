"""A session as the published status answer shows it (wire contract 3.5), with ours beside it.

`best_candidate_id` is the highest posterior mean with enough rewards, as the published API means
it; what is *proven* stands under `safety`, with the evidence.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import unified_diff
from typing import Any

from sidecar.core.ids import BASELINE
from sidecar.core.prompt import Pattern, Place
from sidecar.core.session import Candidate, SessionRecord
from sidecar.engine import levers, response
from sidecar.engine.evidence import LEADS
from sidecar.engine.live import LiveSession
from sidecar.engine.session import SessionState
from sidecar.errors import NotFound

_Z95 = 1.96
_EVENTS_SHOWN = 100


def summary(live: LiveSession) -> dict[str, Any]:
    """A session in one line of a list."""
    state, record = live.state, live.record
    return {
        **_head(record, state),
        "rollout_count": live.assigner.tick,
        "reward_count": state.rewards,
        "candidate_count": len(state.candidates),
        "best_candidate_id": state.policy.best(live.assigner.tick),
        "incumbent_id": state.policy.incumbent,
    }


def status(live: LiveSession) -> dict[str, Any]:
    """Everything about a session."""
    state, now = live.state, live.assigner.tick
    best = state.policy.best(now)
    weights = state.weights
    return {
        **summary(live),
        "best_score": round(_level(state, best, now), 6),
        "proposal_seq": state.proposed,
        "version": state.version,
        "candidates": [
            _candidate(state, c, now, weights, live.assigner.served) for c in state.candidates
        ],
        "wildcards": {
            hole.name: "REQUIRED" if hole.required else "OPTIONAL" for hole in live.config.wildcards
        },
        **levers.summary(state, live.session_id, best),
        "safety": _safety(state, now),
        "influence": _influence(state),
        "metadata": dict(live.record.metadata),
    }


def _head(record: SessionRecord, state: SessionState) -> dict[str, Any]:
    return {
        "session_id": record.session_id,
        "job_id": record.job_id,
        "algorithm": record.algorithm,
        "mode": "online",
        "status": str(state.status),
        "created_at": datetime.fromtimestamp(record.created_at, UTC).isoformat(),
    }


def _level(state: SessionState, candidate: str, now: int) -> float:
    """A candidate's expected reward: the baseline's average and the belief about the difference,
    which time and luck have less influence on than the raw average."""
    mean = state.policy.arms[BASELINE].mean
    if candidate != BASELINE:
        mean += state.policy.belief(candidate, BASELINE, now).mean
    return min(1.0, max(0.0, mean))


def _candidate(
    state: SessionState,
    candidate_id: str,
    now: int,
    weights: Mapping[str, float],
    served: Mapping[str, int],
) -> dict[str, Any]:
    candidate, arm = state.candidates[candidate_id], state.policy.arms[candidate_id]
    belief = state.policy.belief(candidate_id, BASELINE, now)
    level = _level(state, candidate_id, now)
    spread = _Z95 * (
        math.sqrt(arm.variance / max(1, arm.n)) if candidate_id == BASELINE else belief.sd
    )
    return {
        "candidate_id": candidate_id,
        "avg_reward": round(arm.mean, 6) if arm.n else None,
        "rollout_count": served.get(candidate_id, 0),
        "reward_count": arm.n,
        "actor_count": state.influences.standing(candidate_id).actors,
        **_response(state, candidate_id, weights, served),
        "is_baseline": candidate_id == BASELINE,
        "parent_id": candidate.parent_id,
        "role": _role(state, candidate_id),
        "share": round(weights.get(candidate_id, 0.0), 6),
        "expected_reward": round(level, 6),
        "interval": [round(max(0.0, level - spread), 6), round(min(1.0, level + spread), 6)],
        "probability_better": None if candidate_id == BASELINE else round(belief.probability, 6),
        "certainty": _certainty(state, candidate_id),
        "evidence": _evidence(state, candidate_id),
        "origin": candidate.origin,
        "rationale": candidate.rationale,
        "created_at": datetime.fromtimestamp(candidate.created_at, UTC).isoformat(),
        "text": candidate.text,
        "demos": [{"user": demo.user, "assistant": demo.assistant} for demo in candidate.demos],
        "stage_payloads": {"system": {"instruction_text": candidate.text}},
    }


def _response(
    state: SessionState, candidate_id: str, weights: Mapping[str, float], served: Mapping[str, int]
) -> dict[str, Any]:
    """How many answer. What was served so recently that most have not answered yet is left out."""
    own, control = (
        (
            state.influences.standing(c).answered,
            served.get(c, 0) - weights.get(c, 0.0) * state.policy.maturity,
        )
        for c in (candidate_id, BASELINE)
    )
    rate = response.response_rate(*own)
    return {
        "response_rate": None if rate is None else round(rate, 4),
        "response": response.compared(own, control),
    }


def _influence(state: SessionState) -> dict[str, Any]:
    influences = state.influences
    held = influences.quarantine
    return {
        "credit": state.config.rules.credit,
        "objectives": {o.signal: o.weight for o in state.config.rules.objectives},
        "min_actors": influences.rules.min_actors,
        "barred": sorted(state.policy.barred),
        "capped": influences.capped,
        "quarantined": influences.quarantined,
        "quarantine": held
        and {
            "candidate_id": held.candidate_id,
            "until": datetime.fromtimestamp(held.until, UTC).isoformat(),
            "shift": held.shift,
        },
    }


def _role(state: SessionState, candidate_id: str) -> str:
    policy = state.policy
    if candidate_id == policy.incumbent:
        return "incumbent"
    if candidate_id == BASELINE:
        return "control"
    if policy.arms[candidate_id].retired:
        return "retired"
    return "certified" if candidate_id in policy.certified else "challenger"


def _certainty(state: SessionState, candidate_id: str) -> str:
    """In words, so that nobody calls the highest of a few averages the best."""
    policy, arm = state.policy, state.policy.arms[candidate_id]
    if candidate_id == BASELINE:
        return "the prompt you started with"
    if arm.retired:
        return arm.retired
    if candidate_id in policy.certified:
        lead = policy.leads[candidate_id]
        return f"proven better than the baseline by more than {lead:.2f}"
    if arm.n < policy.options.best_rewards:
        return "not enough data"
    return "not proven"


def _evidence(state: SessionState, candidate_id: str) -> dict[str, Any] | None:
    trial = state.policy.trials.get(candidate_id)
    if trial is None or trial.opened is None:
        return None
    return {
        "e_value": round(trial.tests[0].peak, 4),
        "threshold": round(1 / state.policy.arms[candidate_id].level, 2),
        "comparisons": trial.comparisons,
        "proven_lead": state.policy.leads.get(candidate_id),
        "leads_tested": list(LEADS),
    }


def _safety(state: SessionState, now: int) -> dict[str, Any]:
    policy = state.policy
    lead = policy.belief(policy.incumbent, BASELINE, now)
    return {
        "incumbent_id": policy.incumbent,
        "incumbent_lead": round(lead.mean, 6) if policy.incumbent != BASELINE else 0.0,
        "proven_lead": policy.leads.get(policy.incumbent, 0.0),
        "risk": policy.options.risk,
        "spent": round(policy.spent(now), 2),
        "allowed": round(policy.options.risk * policy.seen + policy.options.risk_slack, 2),
        "delta": policy.options.delta,
        "pinned": state.pinned or None,
        "promotion": state.config.guards.promotion,
        "awaiting": [_awaiting(state, c) for c in policy.awaiting],
        "rollback_detector": round(policy.watch.detector.value, 4),
        "rollback_alarm": policy.options.alarm,
        "refused_proposals": state.refused,
        "journal_seq": state.seq,
        "unused_config": list(state.config.unused),
        "events": list(state.events)[-_EVENTS_SHOWN:],
    }


def _awaiting(state: SessionState, candidate_id: str) -> dict[str, Any]:
    """What a person is to approve of: the change to what serves by default."""
    replaces = state.policy.incumbent
    old, new = (state.candidates[c] for c in (replaces, candidate_id))
    lines = unified_diff(_lines(old), _lines(new), replaces, candidate_id, lineterm="")
    return {"candidate_id": candidate_id, "replaces": replaces, "diff": "\n".join(lines)}


def _lines(candidate: Candidate) -> list[str]:
    """All that a candidate makes a call say, as lines."""
    shown = [f"[user] {d.user}\n[assistant] {d.assistant}" for d in candidate.demos]
    return "\n".join([candidate.text, *shown]).splitlines()


def export(live: LiveSession, candidate_id: str | None) -> dict[str, Any]:
    """A prompt to keep: the incumbent (the best that is proven) unless one is named."""
    state, now = live.state, live.assigner.tick
    chosen = candidate_id or state.policy.incumbent
    if chosen not in state.candidates:
        raise NotFound(f"session {live.session_id} has no candidate {chosen!r}")
    lineage: list[dict[str, str]] = []
    at: str | None = chosen
    while at is not None and (candidate := state.candidates.get(at)) is not None:
        lineage.append({"candidate_id": at, "text": candidate.text, "origin": candidate.origin})
        at = candidate.parent_id
    text = state.candidates[chosen].text
    place = Place(None, None, {})
    return {
        "session_id": live.session_id,
        "text": text,
        "messages": place.fill([], Pattern.parse(text), state.candidates[chosen].demos),
        "lineage": lineage,
        **_candidate(state, chosen, now, state.weights, live.assigner.served),
    }
