"""The numbers an operator watches.

One registry per app, never the global one. Every label has a bounded set of values: nothing a
client chooses becomes a label, and session ids beyond `MAX_SESSIONS` count as `other`. The numbers
add up: requests = ok + failed + aborted, per route and mode.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sidecar import __version__

MAX_SESSIONS = 100


class Metrics:
    """All metrics of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._sessions: set[str] = set()
        registry = self.registry
        self.requests = Counter(
            "sidecar_requests",
            "Calls by how they ended.",
            ["route", "mode", "outcome"],
            registry=registry,
        )
        """route: chat | session | other; mode: see backend.base.Mode; outcome: ok | failed |
        aborted."""
        self.overhead = Histogram(
            "sidecar_overhead_seconds",
            "Time of ours before the provider was called.",
            buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25),
            registry=registry,
        )
        self.first_chunk = Histogram(
            "sidecar_time_to_first_chunk_seconds",
            "From the call's arrival to the first byte.",
            registry=registry,
        )
        self.in_flight = Gauge(
            "sidecar_in_flight_requests", "Calls being served now.", registry=registry
        )
        self.failopen = Counter(
            "sidecar_failopen",
            "Calls served without the optimiser, by reason.",
            ["reason"],
            registry=registry,
        )
        self.breaker = Gauge(
            "sidecar_backend_breaker",
            "1 for the state that a remote backend's breaker is in.",
            ["state"],
            registry=registry,
        )
        """state: closed | open | half_open; none with the embedded optimiser."""
        self.unmatched = Counter(
            "sidecar_unmatched",
            "Calls of a session that went through untouched, by reason.",
            ["reason"],
            registry=registry,
        )
        self.capture_dropped = Counter(
            "sidecar_capture_dropped",
            "Learning data dropped, by reason.",
            ["reason"],
            registry=registry,
        )
        self._learning()
        Gauge("sidecar_build_info", "Version.", ["version"], registry=registry).labels(
            __version__
        ).set(1)

    def _learning(self) -> None:
        """What the slow loop counts."""
        registry = self.registry
        self.turns = Counter(
            "sidecar_turns", "Settled turns.", ["session", "outcome"], registry=registry
        )
        self.feedback = Counter(
            "sidecar_feedback", "Feedback events.", ["source", "outcome"], registry=registry
        )
        """outcome: accepted | duplicate | rejected | parked | attributed | expired; of webhook
        sources also unverified | failed | ignored."""
        self.rewards = Counter(
            "sidecar_rewards_reported",
            "Rewards told to sessions.",
            ["session", "outcome"],
            registry=registry,
        )
        """outcome: counted | duplicate | failed | dead."""
        self.dead_letters = Gauge("sidecar_deadletters", "Rewards given up.", registry=registry)
        self.candidates = Counter(
            "sidecar_candidates",
            "What became of candidates.",
            ["session", "outcome"],
            registry=registry,
        )
        """outcome: proposed | screened_out | failed | certified | awaiting | promoted | retired |
        rolled_back."""
        self.jobs = Counter(
            "sidecar_jobs",
            "Offline jobs by what became of them.",
            ["kind", "outcome"],
            registry=registry,
        )
        """kind: policy | eval; outcome: submitted | succeeded | failed | cancelled."""

    def session(self, session_id: str) -> str:
        """The session's label value: its id, or `other` beyond the first hundred."""
        if session_id in self._sessions:
            return session_id
        if len(self._sessions) >= MAX_SESSIONS:
            return "other"
        self._sessions.add(session_id)
        return session_id
