"""Three tests that leak, for the search to find; only `test_leaks.py` runs them."""

import logging

import structlog

from sidecar.api import feedback
from sidecar.telemetry.metrics import Metrics

COMMENT = "a comment that nobody should log"


def _said():
    event = {"rollout_id": "r1", "comment": COMMENT}
    feedback.parse(event, source="api", received_at=0.0, new_id=str)


def test_logs_a_comment():
    _said()
    structlog.get_logger().debug("got it", event_body={"text": COMMENT})


def test_logs_a_comment_through_a_library():
    _said()
    logging.getLogger("aiohttp.server").debug("got %s", COMMENT)


def test_counts_by_comment():
    _said()
    metrics = Metrics()
    metrics.feedback.labels("api", COMMENT).inc()


def test_is_discreet():
    _said()
    structlog.get_logger().debug("got it", length=len(COMMENT))
