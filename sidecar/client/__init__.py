"""Talking to a running sidecar, or to another server of the published API. A task app's own side is
in `sidecar.client.local_api`."""

from sidecar.client.env_key import upload_environment_key, upload_environment_key_async
from sidecar.client.errors import ApiError, ConfigError
from sidecar.client.job_results import EvalResult, EvalStatus, JobStatus, PolicyOptimizationResult
from sidecar.client.jobs import EvalJob, EvalJobConfig, PolicyOptimizationJob
from sidecar.client.online import GepaOnlineSession, MiproOnlineSession, OnlineSession
from sidecar.client.steering import SidecarClient

__all__ = [
    "ApiError",
    "ConfigError",
    "EvalJob",
    "EvalJobConfig",
    "EvalResult",
    "EvalStatus",
    "GepaOnlineSession",
    "JobStatus",
    "MiproOnlineSession",
    "OnlineSession",
    "PolicyOptimizationJob",
    "PolicyOptimizationResult",
    "SidecarClient",
    "upload_environment_key",
    "upload_environment_key_async",
]
