"""A session's state as bytes, and back: the shortcut that saves replaying the whole journal.

Written field by field, so that a state from an older version is read on purpose or not at all: a
snapshot of another `FORMAT` is ignored and the journal replayed instead.
"""

from collections import deque
from dataclasses import asdict, fields
from typing import Any

import orjson

from sidecar.core.session import Candidate, Status
from sidecar.engine.arm import Arm
from sidecar.engine.cluster import Clusters
from sidecar.engine.config import SessionConfig
from sidecar.engine.evidence import LEADS, Trial
from sidecar.engine.policy import Policy, Watch
from sidecar.engine.session import Rewarded, SessionState
from sidecar.engine.stats import EProcess

FORMAT = 2

_PLAIN = (
    "pinned", "version", "seq", "tick", "rewards", "proposed", "refused", "since",
)  # fmt: skip
_POLICY_PLAIN = (
    "challengers", "certified", "incumbent", "leads", "maturity", "seen", "stale", "tests",
    "lost", "verify_until", "cool_until", "weights",
)  # fmt: skip


def dump(state: SessionState) -> bytes:
    """The state as JSON."""
    data = {
        "format": FORMAT,
        **{name: getattr(state, name) for name in _PLAIN},
        "status": state.status,
        "today": state.today,
        "candidates": [asdict(c) for c in state.candidates.values()],
        "clusters": asdict(state.clusters),
        "events": list(state.events),
        "recent": [asdict(r) for r in state.recent],
        "policy": _dump_policy(state.policy),
    }
    return orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS)


def load(raw: bytes, config: SessionConfig, salt: str) -> SessionState | None:
    """The state that `dump` wrote; None if another version wrote it."""
    data = orjson.loads(raw)
    if data.get("format") != FORMAT:
        return None
    state = SessionState(
        config, salt, {c["candidate_id"]: Candidate(**c) for c in data["candidates"]}
    )
    for name in _PLAIN:
        setattr(state, name, data[name])
    state.status = Status(data["status"])
    state.today = (data["today"][0], data["today"][1])
    state.clusters = Clusters(**data["clusters"])
    state.events.extend(data["events"])
    state.recent.extend(Rewarded(**r) for r in data["recent"])
    state.policy = _load_policy(data["policy"], config)
    return state


def _dump_policy(policy: Policy) -> dict[str, Any]:
    watch = policy.watch
    return {
        **{name: getattr(policy, name) for name in _POLICY_PLAIN},
        "delays": list(policy.delays),
        "arms": [asdict(arm) for arm in policy.arms.values()],
        "trials": {c: _dump_trial(t) for c, t in policy.trials.items()},
        "watch": {
            "wealth": watch.detector.wealth,
            "value": watch.detector.value,
            "trial": _dump_trial(watch.trial),
            "recent": list(watch.recent),
            "memory": [watch.memory_n, watch.memory_sum],
        },
    }


def _load_policy(data: dict[str, Any], config: SessionConfig) -> Policy:
    policy = Policy(config.options)
    for name in _POLICY_PLAIN:
        setattr(policy, name, data[name])
    policy.delays = deque(data["delays"], maxlen=policy.delays.maxlen)
    policy.arms = {arm["candidate_id"]: _load_arm(arm) for arm in data["arms"]}
    policy.trials = {c: _load_trial(t) for c, t in data["trials"].items()}
    watch, saved = Watch(), data["watch"]
    watch.detector.wealth, watch.detector.value = saved["wealth"], saved["value"]
    watch.trial = _load_trial(saved["trial"])
    watch.recent.extend(saved["recent"])
    watch.memory_n, watch.memory_sum = saved["memory"]
    policy.watch = watch
    return policy


def _load_arm(data: dict[str, Any]) -> Arm:
    arm = Arm(**{f.name: data[f.name] for f in fields(Arm)})
    arm.buckets = {int(k): v for k, v in arm.buckets.items()}
    arm.waiting = {r: (at, value) for r, (at, value) in data["waiting"].items()}
    return arm


def _dump_trial(trial: Trial) -> dict[str, Any]:
    return {
        "tests": [[t.peak, *t.log_wealth] for t in trial.tests],
        "mine": trial.mine,
        "control": trial.control,
        "comparisons": trial.comparisons,
        "opened": trial.opened,
    }


def _load_trial(data: dict[str, Any]) -> Trial:
    tests = []
    for margin, (peak, *wealth) in zip(LEADS, data["tests"], strict=True):
        test = EProcess(margin)
        test.peak, test.log_wealth = peak, wealth
        tests.append(test)
    return Trial(
        tests,
        [(at, value) for at, value in data["mine"]],
        [(at, value) for at, value in data["control"]],
        data["comparisons"],
        data["opened"],
    )
