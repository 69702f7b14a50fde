"""A session's state as bytes, and back: the shortcut that saves replaying the whole journal.

Written field by field, so that a state from an older version is read on purpose or not at all: a
snapshot of another `FORMAT` is ignored and the journal replayed instead.
"""

from collections import deque
from dataclasses import asdict, fields
from typing import Any

import orjson

from sidecar.core.prompt import Demo
from sidecar.core.session import Candidate, Status
from sidecar.engine import algorithms
from sidecar.engine.arm import Arm
from sidecar.engine.cluster import Clusters
from sidecar.engine.config import SessionConfig
from sidecar.engine.evidence import LEADS, Trial
from sidecar.engine.factored import Effect, Effects
from sidecar.engine.influence import Influences, Kept, Quarantine, Standing
from sidecar.engine.mipro_session import GridState, Instruction
from sidecar.engine.policy import Policy
from sidecar.engine.sensors import Frame
from sidecar.engine.session import Rewarded, SessionState
from sidecar.engine.stats import EProcess
from sidecar.engine.watch import Watch

FORMAT = 4

_PLAIN = (
    "pinned", "version", "seq", "tick", "rewards", "proposed", "refused", "since", "proposed_at",
)  # fmt: skip
_POLICY_PLAIN = (
    "challengers", "certified", "incumbent", "leads", "maturity", "seen", "stale", "tests",
    "lost", "vain", "verify_until", "cool_until", "weights", "awaiting",
)  # fmt: skip

_INFLUENCE_PLAIN = ("clock", "since", "calm", "capped", "quarantined")


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
        "sensors": {
            "frames": [asdict(f) for f in state.sensors.frames],
            "seen": state.sensors.seen,
        },
        "policy": _dump_policy(state.policy),
        "influences": _dump_influences(state.influences),
        "barred": sorted(state.policy.barred),
        "shielded": sorted(state.policy.shielded),
        "grid": _dump_grid(state) if isinstance(state, GridState) else None,
    }
    return orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS)


def load(raw: bytes, config: SessionConfig, salt: str) -> SessionState | None:
    """The state that `dump` wrote; None if another version wrote it."""
    data = orjson.loads(raw)
    if data.get("format") != FORMAT:
        return None
    state = algorithms.begin(config, salt, 0.0)
    state.candidates = {c["candidate_id"]: _load_candidate(c) for c in data["candidates"]}
    for name in _PLAIN:
        setattr(state, name, data[name])
    state.status = Status(data["status"])
    state.today = (data["today"][0], data["today"][1])
    state.clusters = Clusters(**data["clusters"])
    state.events.extend(data["events"])
    state.recent.extend(Rewarded(**r) for r in data["recent"])
    state.sensors.frames.extend(
        Frame(**{**f, "rollout_ids": tuple(f["rollout_ids"])}) for f in data["sensors"]["frames"]
    )
    state.sensors.seen = data["sensors"]["seen"]
    _load_policy(state.policy, data["policy"])
    _load_influences(state.influences, data["influences"])
    state.policy.barred = set(data["barred"])
    state.policy.shielded = set(data["shielded"])
    if isinstance(state, GridState):
        _load_grid(state, data["grid"])
    return state


def _load_candidate(data: dict[str, Any]) -> Candidate:
    cell = data["cell"]
    return Candidate(
        **{
            **data,
            "demos": tuple(Demo(**demo) for demo in data["demos"]),
            "cell": (cell[0], cell[1]) if cell else None,
        }
    )


def _dump_grid(state: GridState) -> dict[str, Any]:
    return {
        "instructions": [asdict(row) for row in state.instructions],
        "sets": [[asdict(demo) for demo in demos] for demos in state.sets],
        "since_sets": state.since_sets,
        "cells": sorted(state.grid.grid),
        "effects": _dump_effects(state.grid.effects) if state.grid.effects else None,
    }


def _dump_effects(effects: Effects) -> dict[str, Any]:
    """What the surrogate made of the rewards when it was last asked: it is not asked again at a
    restart, because rewards have come since."""
    return {
        "cells": [[cell, asdict(effect)] for cell, effect in effects.cells.items()],
        "mean": effects.mean,
        "factor": effects.factor,
    }


def _load_effects(data: dict[str, Any]) -> Effects:
    cells = {
        (cell[0], cell[1]): Effect(
            {int(k): weight for k, weight in effect["weights"].items()},
            effect["offset"],
            effect["variance"],
        )
        for cell, effect in data["cells"]
    }
    return Effects(cells, data["mean"], data["factor"])


def _load_grid(state: GridState, data: dict[str, Any]) -> None:
    state.instructions = [Instruction(**row) for row in data["instructions"]]
    state.sets = [tuple(Demo(**demo) for demo in demos) for demos in data["sets"]]
    state.since_sets = data["since_sets"]
    state.grid.grid = {(row, column) for row, column in data["cells"]}
    state.grid.cells = {c.candidate_id: c.cell for c in state.candidates.values() if c.cell}
    state.grid.effects = _load_effects(data["effects"]) if data["effects"] else None


def _dump_influences(influences: Influences) -> dict[str, Any]:
    return {
        **{name: getattr(influences, name) for name in _INFLUENCE_PLAIN},
        "firsts": list(influences.firsts.items()),
        "counts": [[*pair, n] for pair, n in influences.counts.items()],
        "standings": {c: asdict(standing) for c, standing in influences.standings.items()},
        "kept": [asdict(one) for one in influences.kept.values()],
        "quarantine": influences.quarantine and asdict(influences.quarantine),
    }


def _load_influences(influences: Influences, data: dict[str, Any]) -> None:
    for name in _INFLUENCE_PLAIN:
        setattr(influences, name, data[name])
    influences.firsts.update(data["firsts"])
    influences.counts.update(((c, actor), n) for c, actor, n in data["counts"])
    influences.standings = {c: Standing(**one) for c, one in data["standings"].items()}
    influences.kept.update(
        (one["rollout_id"], Kept(**{**one, "actors": tuple(one["actors"])})) for one in data["kept"]
    )
    held = data["quarantine"]
    influences.quarantine = Quarantine(**held) if held else None


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


def _load_policy(policy: Policy, data: dict[str, Any]) -> None:
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
