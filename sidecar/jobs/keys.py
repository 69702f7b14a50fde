"""The keys that a job works with, kept apart from it.

Rollouts bring the task app the key that came with the job, else the one that was uploaded for all
(wire contract, sections 2.3 and 7.1). None of them is ever part of a record, an event or an answer.
"""

from sidecar.store.base import Secret, Secrets

UPLOADED = "env-key/"
"""What the names of uploaded keys begin with in the store."""
DEFAULT_NAME = "ENVIRONMENT_API_KEY"
"""Which uploaded key is for task apps."""
_TASK_APP = "job-key/"
_PROPOSER = "job-proposer-key/"


async def keep_keys(store: Secrets, job_id: str, task_app: str, proposer: str, now: float) -> None:
    """Keep the keys that came with a job; an empty one is none. Raises `StoreError`."""
    for prefix, key in ((_TASK_APP, task_app), (_PROPOSER, proposer)):
        if key:
            await store.put_secret(Secret(prefix + job_id, key.encode(), now))


async def task_app_key(store: Secrets, job_id: str) -> str:
    """The key for a job's rollouts; empty when there is none. Raises `StoreError`."""
    own = await _found(store, _TASK_APP + job_id)
    return own or await _found(store, UPLOADED + DEFAULT_NAME)


async def proposer_key(store: Secrets, job_id: str) -> str:
    """The key that a job brought for its reflection model; empty for none. Raises `StoreError`."""
    return await _found(store, _PROPOSER + job_id)


async def _found(store: Secrets, name: str) -> str:
    found = await store.secret(name)
    return found.value.decode() if found is not None else ""
