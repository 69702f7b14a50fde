"""The feedback, session and health routes on a real socket, with a recording backend behind."""

from aiohttp import web

from sidecar.api import feedback, ops, sessions
from sidecar.api.middleware import request_ids
from sidecar.api.problems import problems
from sidecar.api.session_rewards import SessionRewards
from sidecar.feedback.erasure import Eraser
from sidecar.settings import Settings
from support.feedback_loop import Loop


def application(loop: Loop, settings: Settings | None = None) -> web.Application:
    settings = settings or Settings()
    rewards = SessionRewards(loop.backend, loop.store, loop.intake, loop.reporter, clock=loop.clock)
    app = web.Application(middlewares=[request_ids, problems], client_max_size=0)
    app.add_routes(
        feedback.routes(
            loop.intake,
            loop.reporter.dead_letters,
            settings,
            loop.metrics,
            eraser=Eraser(loop.store, loop.intake, clock=loop.clock),
            durable=lambda: loop.store.durable,
            clock=loop.clock,
        )
    )
    app.add_routes(sessions.routes(loop.backend, rewards, settings))
    return app


def with_health(app: web.Application, loop: Loop, health: ops.Health) -> web.Application:
    app.add_routes(ops.routes(health, loop.metrics, lambda: {"store": "degraded"}))
    return app
