"""Levers and sensors as the published API shows them (wire contract, section 8.3).

A session has one lever: its prompt. A candidate is a version of it, numbered in order of birth from
0 for the baseline. Sensors are what was seen of the traffic, in frames (`engine.sensors`).
"""

from datetime import UTC, datetime
from typing import Any

from sidecar.core.ids import BASELINE
from sidecar.engine.sensors import KINDS
from sidecar.engine.session import SessionState


def summary(state: SessionState, session_id: str, best: str) -> dict[str, Any]:
    """The lever and sensor fields of a status; `best` is the candidate called the best."""
    lever = f"{state.config.algorithm}.prompt.{session_id}"
    versions = {candidate: k for k, candidate in enumerate(state.candidates)}
    return {
        "lever_summary": {
            "prompt_lever_id": lever,
            "candidate_lever_versions": versions,
            "best_candidate_id": best,
            "selected_candidate_id": state.policy.incumbent,
            "baseline_candidate_id": BASELINE,
            "lever_count": 1,
            "mutation_count": state.proposed,
            "latest_version": len(versions) - 1,
        },
        "lever_versions": {lever: versions[state.policy.incumbent]},
        "best_lever_version": versions[best],
        "sensor_frames": [
            {
                "frame_id": frame.frame_id,
                "created_at": datetime.fromtimestamp(frame.at, UTC).isoformat(),
                "sensor_count": len(KINDS) * len(frame.rollout_ids),
                "sensor_kinds": list(KINDS),
                "trace_ids": list(frame.rollout_ids),
                "lever_versions": {lever: frame.version},
            }
            for frame in state.sensors.frames
        ],
    }
