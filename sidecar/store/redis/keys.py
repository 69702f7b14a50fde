"""What the keys are called; what is under them is told in the package's docstring."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of one sidecar deployment."""

    prefix: str

    def session(self, session_id: str, what: str) -> str:
        """Something of a session."""
        return f"{self.prefix}:{{{session_id}}}:{what}"

    def rollout(self, session_id: str, rollout_id: str) -> str:
        """A rollout's assignment and turns."""
        return self.session(session_id, f"rollout:{rollout_id}")

    def where(self, rollout_id: str) -> str:
        """Where a rollout id is to be found."""
        return f"{self.prefix}:where:{rollout_id}"

    def answer(self, completion_id: str) -> str:
        """Where a completion id is to be found."""
        return f"{self.prefix}:answer:{completion_id}"

    def said(self, fingerprint: str) -> str:
        """Where a reply's text is to be found."""
        return f"{self.prefix}:said:{fingerprint}"

    def feedback(self, what: str) -> str:
        """Something of the feedback and its outbox."""
        return f"{self.prefix}:{{:feedback}}:{what}"

    def sessions(self, what: str) -> str:
        """Something of the register of sessions."""
        return f"{self.prefix}:{{:sessions}}:{what}"

    def jobs(self, what: str) -> str:
        """Something of the register of jobs."""
        return f"{self.prefix}:{{:jobs}}:{what}"

    def job(self, job_id: str, what: str) -> str:
        """Something of a job."""
        return f"{self.prefix}:{{job:{job_id}}}:{what}"

    def lease(self, name: str, what: str) -> str:
        """Something of a lease."""
        return f"{self.prefix}:{{lease:{name}}}:{what}"

    @property
    def secrets(self) -> str:
        """All secrets."""
        return f"{self.prefix}:{{:secrets}}:values"

    @property
    def schema(self) -> str:
        """The version of the schema."""
        return f"{self.prefix}:{{:meta}}:schema"
