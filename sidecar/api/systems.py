"""What the routes of the public demos share: a system is a session, under another name.

Reports of rollouts, the state with its candidates by id, and the events.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from sidecar.api.body import read_object, text_of
from sidecar.api.query import whole_number
from sidecar.api.scope import Scope
from sidecar.api.session_rewards import SessionRewards
from sidecar.errors import InvalidRequest
from sidecar.settings import Settings

PATHS = {"gepa": "/api/gepa/v1", "mipro": "/api/prompt-learning/online/mipro/systems"}
RETIRED = "retired"
_PROVEN = {"certified", "incumbent"}
_LISTED = 100
_MOST_LISTED = 1000
_MOST_SEQ = 10**12


class SystemApi:
    """What can be asked about the systems of one algorithm."""

    def __init__(self, scope: Scope, rewards: SessionRewards, settings: Settings) -> None:
        self._scope = scope
        self._rewards = rewards
        self._limit = settings.server.max_body_bytes

    async def report(self, request: web.Request) -> web.Response:
        """A rollout's progress, with its reward once there is one."""
        body = await read_object(request, self._limit)
        status = text_of(body, "status")
        session = await self._status(request)
        if body.get("reward") is None:
            if status == "reward":
                raise InvalidRequest("a status of 'reward' needs the reward", param="reward")
            rollout = {name: text_of(body, name) for name in ("rollout_id", "candidate_id")}
            counted = {"status": session["status"], **rollout}
            counted["reward_count"] = session["reward_count"]
        else:
            counted = await self._rewards.count(session, _reward(body))
        return web.json_response({**counted, "system_id": session["session_id"]})

    async def state(self, request: web.Request) -> web.Response:
        """The session's status, with its candidates by id."""
        return web.json_response(state_of(await self._status(request)))

    async def events(self, request: web.Request) -> web.Response:
        """What happened after `since_seq`, oldest first. What happened at once has one number and
        is never torn apart, so an answer may hold a few more than `limit`."""
        since = whole_number(request, "since_seq", 0, least=0, most=_MOST_SEQ)
        limit = whole_number(request, "limit", _LISTED, least=1, most=_MOST_LISTED)
        events = events_of(await self._status(request))
        found = [event for event in events if event["seq"] > since]
        last = found[:limit][-1]["seq"] if found else 0
        return web.json_response({"events": [event for event in found if event["seq"] <= last]})

    async def _status(self, request: web.Request) -> dict[str, Any]:
        """Of the system that the path names."""
        return await self._scope.status(request.match_info["system_id"])


def state_of(status: Mapping[str, Any]) -> dict[str, Any]:
    """A session's state as these routes show it, from its status."""
    grouped = _grouped_mipro if status["algorithm"] == "mipro" else _grouped_gepa
    return {**status, "system_id": status["session_id"], **grouped(status["candidates"])}


def events_of(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A session's events as these routes show them, oldest first."""
    return [_event(status["algorithm"], event) for event in status["safety"]["events"]]


def _grouped_gepa(candidates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By id, the retired ones apart."""
    retired = [c for c in candidates if c["role"] == RETIRED]
    return {
        "candidates": {c["candidate_id"]: c for c in candidates if c["role"] != RETIRED},
        "archived_candidates": retired,
    }


def _grouped_mipro(candidates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All of them by id; in short those that were rewarded, and those that are proven better."""
    proven = [c for c in candidates if c["role"] in _PROVEN and not c["is_baseline"]]
    return {
        "candidates": {c["candidate_id"]: c for c in candidates},
        "attempted_candidates": [_scored(c) for c in candidates if c["reward_count"]],
        "optimized_candidates": [_scored(c) for c in proven],
    }


def _scored(candidate: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "candidate_id": candidate["candidate_id"],
        "score": candidate["avg_reward"],
        "outcome_reward": candidate["avg_reward"],
        "reward_count": candidate["reward_count"],
    }


def _reward(body: Mapping[str, Any]) -> dict[str, Any]:
    """The published reward request that says the same."""
    info = {"reward": body["reward"]}
    details = {name: body[name] for name in ("rollout_id", "candidate_id") if name in body}
    return {**details, "reward_info": info}


def _event(algorithm: str, event: Mapping[str, Any]) -> dict[str, Any]:
    about = event["candidate_id"]
    return {
        "seq": event["seq"],
        "event_type": f"{algorithm}.{event['kind']}",
        "message": f"{event['kind']} {about}".strip(),
        "data": {**event["detail"], "candidate_id": about or None},
        "created_at": datetime.fromtimestamp(event["at"], UTC).isoformat(),
    }
