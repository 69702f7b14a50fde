"""Offline jobs and evals, with the methods and arguments of the published client (wire contract,
sections 8 and 9)."""

import asyncio
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

from sidecar.client.config_file import read_file
from sidecar.client.env_key import environment_key
from sidecar.client.errors import ApiError, ConfigError
from sidecar.client.flow import asked, run, run_async
from sidecar.client.job import Job, Submission
from sidecar.client.job_results import EvalResult, PolicyOptimizationResult
from sidecar.client.payloads import Connection
from sidecar.client.target import Target
from sidecar.client.wire import Answer, Request, content

_ROOTS = ("policy_optimization", "prompt_learning")
_ALGORITHMS = ("gepa", "mipro")
_URLS = ("task_app_url", "localapi_url", "local_api_url", "container_url", "url")
_KEYS = ("task_app_api_key", "localapi_api_key", "local_api_key", "container_api_key")
_OK = 200


class PolicyOptimizationJob(Job[PolicyOptimizationResult]):
    """A job that finds a better prompt by GEPA or MIPRO, run against a task app of yours."""

    _path = "/api/policy-optimization/online/jobs"

    @classmethod
    def from_config(
        cls,
        config_path: str | PathLike[str],
        *,
        localapi_api_key: str | None = None,
        algorithm: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        skip_health_check: bool = False,
        **connection: Unpack[Connection],
    ) -> "PolicyOptimizationJob":
        """As `from_dict`, from a TOML or JSON file of yours, which is read here."""
        return cls.from_dict(
            read_file(Path(config_path)),
            localapi_api_key=localapi_api_key,
            algorithm=algorithm,
            overrides=overrides,
            metadata=metadata,
            skip_health_check=skip_health_check,
            **connection,
        )

    @classmethod
    def from_dict(
        cls,
        config_dict: Mapping[str, Any],
        *,
        localapi_api_key: str | None = None,
        algorithm: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        skip_health_check: bool = False,
        **connection: Unpack[Connection],
    ) -> "PolicyOptimizationJob":
        """A job with this configuration (`policy_optimization` or `prompt_learning`), which is not
        changed. `localapi_api_key`: the task app's key, `ENVIRONMENT_API_KEY` by default; it is
        uploaded with the job. `algorithm`: checked if given. `overrides`: values that replace the
        configuration's; a dotted key reaches into it. `connection` is as in sessions."""
        section = _section(config_dict)
        found = str(section.get("algorithm"))
        if found not in _ALGORITHMS or algorithm not in {None, found}:
            wanted = repr(algorithm) if algorithm else "'gepa' or 'mipro'"
            raise ConfigError(f"the configuration's algorithm must be {wanted}, not {found!r}")
        url = _url(section, "the configuration")
        key = localapi_api_key or _key(section) or environment_key()
        plain = {k: v for k, v in section.items() if k not in {*_KEYS, *_URLS}}
        body = {
            "algorithm": found,
            "config_body": {"prompt_learning": {**plain, "task_app_url": url}},
            "overrides": dict(overrides or {}),
            "metadata": dict(metadata or {}),
            "auto_start": True,
        }
        job = Submission(body, url, key, uploads_key=True, checks_app=not skip_health_check)
        return cls(Target.of(**connection), job, None)

    @classmethod
    def from_job_id(cls, job_id: str, **connection: Unpack[Connection]) -> "PolicyOptimizationJob":
        """A job that was submitted before."""
        return cls(Target.of(**connection), None, job_id)

    def get_best_prompt_text(self, rank: int = 1) -> str | None:
        """The system text of the best prompt, or of the one at that rank; None if there is none."""
        return _ranked(PolicyOptimizationResult.of(self._known(), self.get_results()), rank)

    async def get_best_prompt_text_async(self, rank: int = 1) -> str | None:
        """As `get_best_prompt_text`."""
        results = await self.get_results_async()
        return _ranked(PolicyOptimizationResult.of(self._known(), results), rank)

    def _result(self, data: dict[str, Any]) -> PolicyOptimizationResult:
        return PolicyOptimizationResult.of(self._known(), data)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalJobConfig:
    """What an eval job runs."""

    task_app_url: str
    seeds: Sequence[int] | Mapping[str, int]
    """A list, or `{"start", "end", "step"}` without its end."""
    task_app_api_key: str | None = field(default=None, repr=False)
    """The task app's key; `ENVIRONMENT_API_KEY` by default. It goes with the job, in clear."""
    app_id: str | None = None
    env_name: str | None = None
    policy_config: Mapping[str, Any] = field(default_factory=dict)
    """`model` and the like, for the task app."""
    env_config: Mapping[str, Any] = field(default_factory=dict)
    verifier_config: Mapping[str, Any] | None = None
    concurrency: int = 20
    """Rollouts at the same time."""
    timeout: float = 600.0
    """Seconds that a rollout may take."""


class EvalJob(Job[EvalResult]):
    """A job that scores a task app, as it is, on given seeds."""

    _path = "/api/eval/jobs"

    @classmethod
    def from_config(
        cls,
        config_path: str | PathLike[str],
        *,
        skip_health_check: bool = False,
        **connection: Unpack[Connection],
    ) -> "EvalJob":
        """As `from_dict`, from the `[eval]` table of a TOML or JSON file, which is read here."""
        table = read_file(Path(config_path)).get("eval")
        if not isinstance(table, dict):
            raise ConfigError(f"{config_path} has no [eval] table")
        return cls.from_dict(table, skip_health_check=skip_health_check, **connection)

    @classmethod
    def from_dict(
        cls,
        config_dict: Mapping[str, Any],
        *,
        skip_health_check: bool = False,
        **connection: Unpack[Connection],
    ) -> "EvalJob":
        """A job with the fields of `EvalJobConfig`; `policy` and `max_concurrent` are understood as
        `policy_config` and `concurrency`, and the task app's URL and key by all their names.
        `connection` is as in sessions: its `timeout` is the server's."""
        others = {"policy": "policy_config", "max_concurrent": "concurrency"}
        fields = {others.get(k, k): v for k, v in config_dict.items() if k not in {*_URLS, *_KEYS}}
        unknown = sorted(fields.keys() - EvalJobConfig.__dataclass_fields__.keys())
        if unknown:
            raise ConfigError(f"an eval job has no {unknown[0]!r}")
        fields |= {"task_app_url": _url(config_dict, "the eval"), "seeds": fields.get("seeds", ())}
        config = EvalJobConfig(task_app_api_key=_key(config_dict) or None, **fields)
        return cls.of(config, skip_health_check=skip_health_check, **connection)

    @classmethod
    def of(
        cls,
        config: EvalJobConfig,
        *,
        skip_health_check: bool = False,
        **connection: Unpack[Connection],
    ) -> "EvalJob":
        """A job with this configuration."""
        key = config.task_app_api_key or environment_key()
        body = {
            "task_app_url": config.task_app_url,
            **({"task_app_api_key": key} if key else {}),
            "app_id": config.app_id,
            "env_name": config.env_name,
            "seeds": _seeds(config.seeds),
            "policy": dict(config.policy_config),
            "env_config": dict(config.env_config),
            "verifier_config": config.verifier_config,
            "max_concurrent": config.concurrency,
            "timeout": config.timeout,
        }
        job = Submission(
            body, config.task_app_url, key, uploads_key=False, checks_app=not skip_health_check
        )
        return cls(Target.of(**connection), job, None)

    @classmethod
    def from_job_id(cls, job_id: str, **connection: Unpack[Connection]) -> "EvalJob":
        """A job that was submitted before."""
        return cls(Target.of(**connection), None, job_id)

    def download_traces(self, output_dir: str | PathLike[str]) -> Path:
        """Write what happened on each seed into a folder, as JSON files; the folder."""
        call = self._request("GET", "/traces")
        return _unpacked(call, run(asked(call)), output_dir)

    async def download_traces_async(self, output_dir: str | PathLike[str]) -> Path:
        """As `download_traces`."""
        call = self._request("GET", "/traces")
        answer = await run_async(asked(call), self._http)
        return await asyncio.to_thread(_unpacked, call, answer, output_dir)

    def _result(self, data: dict[str, Any]) -> EvalResult:
        return EvalResult.of(self._known(), data)


def _section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    root = next((name for name in _ROOTS if isinstance(config.get(name), Mapping)), None)
    if root is None:
        found = ", ".join(config) or "nothing"
        raise ConfigError(f"the configuration has no [{'] or ['.join(_ROOTS)}], but {found}")
    section: Mapping[str, Any] = config[root]
    return section


def _url(given: Mapping[str, Any], where: str) -> str:
    url = next((given[name] for name in _URLS if given.get(name)), None)
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise ConfigError(f"{where} needs the task app's address as task_app_url (http or https)")
    return url


def _key(given: Mapping[str, Any]) -> str:
    key = next((given[name] for name in _KEYS if given.get(name)), "")
    if not isinstance(key, str):
        raise ConfigError("the task app's key must be text")
    return key.strip()


def _seeds(given: Sequence[int] | Mapping[str, int]) -> list[int]:
    if isinstance(given, Mapping):
        seeds = list(range(given.get("start", 0), given.get("end", 0), given.get("step", 1)))
    else:
        seeds = list(given)
    if not seeds:
        raise ConfigError("an eval needs seeds")
    return seeds


def _ranked(result: PolicyOptimizationResult, rank: int) -> str | None:
    if rank == 1:
        return result.get_system_prompt()
    texts = result.candidate_texts()
    return texts[rank - 1] if 0 < rank <= len(texts) else None


def _unpacked(request: Request, answer: Answer, folder: str | PathLike[str]) -> Path:
    """Raises `ApiError` when the answer is no archive."""
    path = Path(folder)
    if answer.status != _OK:
        content(request, answer)
    try:
        with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
            path.mkdir(parents=True, exist_ok=True)
            archive.extractall(path)
    except zipfile.BadZipFile:
        raise ApiError("the answer is not a ZIP archive", answer.status, url=request.url) from None
    return path
