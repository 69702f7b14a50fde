"""The system routes that the public MIPRO demos use (wire contract, section 4.1): a system is a
session. The job that makes one is in `api/online_jobs.py`.
"""

from aiohttp import web

from sidecar.api.guard import guarded
from sidecar.api.scope import Scope
from sidecar.api.session_rewards import SessionRewards
from sidecar.api.systems import PATHS, SystemApi
from sidecar.backend.base import Backend
from sidecar.settings import Settings

_ALGORITHM = "mipro"


def routes(backend: Backend, rewards: SessionRewards, settings: Settings) -> list[web.RouteDef]:
    """The routes of this module; all of them need a key."""
    api = SystemApi(Scope(backend, _ALGORITHM, PATHS), rewards, settings)
    one = PATHS[_ALGORITHM] + "/{system_id}"
    return [
        web.post(one + "/status", guarded(api.report, settings)),
        web.get(one + "/state", guarded(api.state, settings)),
        web.get(one + "/events", guarded(api.events, settings)),
    ]
