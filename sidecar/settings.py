"""One typed, frozen tree of settings, validated at start; nobody reads the environment elsewhere.

Precedence: flag > environment > file > default. `loading.load` gathers every mistake before it
complains; what makes sense only together is in `loading/rules.py`.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Server(_Section):
    """Where we listen."""

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    """0 lets the system choose; the chosen port is logged."""
    public_url: str = ""
    """Base of the absolute URLs in answers; empty: the request's own host."""
    api_keys: tuple[SecretStr, ...] = ()
    """Keys for the session API and feedback. None configured: open, allowed on loopback only."""
    allow_open: bool = False
    """Serve beyond loopback without any key. Said in words, or it does not start."""
    demo_keys: Literal["auto", "on", "off"] = "auto"
    """Whether anybody may have a short-lived key (`POST /api/demo/keys`). `auto`: on this machine
    only, and not from behind a reverse proxy."""
    require_proxy_key: bool = False
    """Whether calls to the proxied model routes need a key of ours too."""
    max_body_bytes: int = Field(32 * 1024 * 1024, ge=1024)
    """Largest body that is read for rewriting or parsing; pass-through bodies are streamed."""
    drain_seconds: float = Field(30.0, ge=0)
    """How long open calls may take to finish after SIGTERM."""
    drain_notice_seconds: float = Field(0.0, ge=0)
    """How long after SIGTERM new calls are still taken, while `/readyz` says `draining`: time for
    load balancers to notice. Counted before `drain_seconds`."""


class Provider(_Section):
    """The OpenAI-compatible API that calls are forwarded to."""

    base_url: str = "https://api.openai.com/v1"
    api_key: SecretStr | None = None
    """Used for calls that bring no key of their own, and for the engine's own calls."""
    key_mode: Literal["pass", "replace"] = "pass"
    """`pass`: the client's Authorization goes through; `replace`: ours always."""
    connect_timeout: float = Field(5.0, gt=0)
    read_timeout: float = Field(600.0, gt=0)
    """Longest silence of the provider, seconds."""
    max_connections: int = Field(4000, ge=1)
    """Most calls under way at once; further ones are refused with 503."""
    keepalive: float = Field(15.0, ge=0)
    """Seconds an idle connection is kept; below the provider's own."""


class StoreSettings(_Section):
    """Where state is kept."""

    kind: Literal["sqlite", "memory", "redis"] = "sqlite"
    path: Path = Path("sidecar.db")
    """Of `sqlite`: the file."""
    url: SecretStr | None = None
    """Of `redis`: `redis://`, `rediss://` or `unix://`; may hold a user and a password."""
    prefix: str = "sidecar"
    """Of `redis`: what all keys begin with. Replicas share it, other deployments do not."""
    timeout_ms: float = Field(150.0, gt=0)
    """Of `redis`: longest that a call waits to hear that its assignment is stored."""
    retention_days: float = Field(30.0, gt=0)
    """Age at which settled turns (content) are deleted; of `redis`, also how long what is known of
    a conversation is kept after its last call or reward."""


class Gateway(_Section):
    """The request path."""

    correlation_header: str = "x-correlation-id"
    content_identity: bool = True
    """Recognise later turns of a conversation by the messages they repeat."""
    capture: Literal["full", "off"] = "full"
    """Whether message text is kept for the proposer. Off: hashes, counts and rewards only."""
    capture_bytes: int = Field(64 * 1024, ge=0)
    """Most bytes of an answer that are kept for the proposer."""
    store_wait_ms: float = Field(50.0, ge=0)
    """Longest that an answer waits for its assignment to be durable (it is written while the
    provider works, so the wait is normally zero)."""
    remember: int = Field(100_000, ge=100)
    """Conversations held in memory per session."""


class FeedbackSettings(_Section):
    """The way back."""

    park_seconds: float = Field(24 * 3600.0, ge=0)
    """How long an event waits for its rollout."""
    batch_size: int = Field(50, ge=1)
    batch_seconds: float = Field(0.5, ge=0)
    """A batch of rewards leaves when it is full or this old."""
    max_attempts: int = Field(8, ge=1)
    """Deliveries before a reward becomes a dead letter, with the embedded optimiser."""
    tokens: bool = False
    """Whether answers of sessions carry a feedback token (`x-feedback-token`), and `POST /feedback`
    takes one in place of a key."""
    token_seconds: float = Field(24 * 3600.0, gt=0, le=366 * 24 * 3600.0)
    """How long a token is good."""
    cors_origins: tuple[str, ...] = ()
    """Origins (`https://host`) whose pages may post feedback and read tokens."""

    @property
    def page_origins(self) -> frozenset[str]:
        """The same as browsers write them."""
        return frozenset(origin.rstrip("/").lower() for origin in self.cors_origins)


class SourceSettings(_Section):
    """A product whose webhooks are feedback: they come to `POST /feedback/{name}`."""

    name: str
    kind: str = "generic"
    """Which adapter reads them; `generic` is the JSON of `POST /feedback`."""
    signature: str = ""
    """How they show where they come from; `none` has to be said in words."""
    secrets: tuple[SecretStr, ...] = ()
    """What they are signed with. Several while one is being replaced: any of them will do."""
    tolerance_seconds: float = Field(300.0, ge=1, le=3600)
    """How much older or newer than our clock a delivery may be, where it says its time."""
    header: str = ""
    """The header with the signature, where it is not the scheme's usual one."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The adapter's own settings."""


class Engine(_Section):
    """The embedded optimiser's defaults; a session's own config wins."""

    proposer_model: str = "gpt-4.1-mini"
    proposer_base_url: str = ""
    """Empty: the provider's."""
    proposer_api_key: SecretStr | None = None
    proposer_origins: tuple[str, ...] = ()
    """Further origins (`https://host`) that a session's `proposer_url` may name; a session never
    sends the engine anywhere else, nor our key to any but our own endpoint."""
    proposer_timeout: float = Field(120.0, gt=0)
    proposals_per_day: int = Field(200, ge=0)
    config_dir: str = ""
    """The folder that a create request's `config_name` and `config_path` may name files of. Empty:
    none."""


def _table(value: object, read: ValidatorFunctionWrapHandler) -> object:
    """From the environment, a table is JSON text. What is wrong in it is wrong as a whole."""
    try:
        return read(json.loads(value) if isinstance(value, str) else value)
    except ValidationError as error:
        raise ValueError(str(error)) from None


class JobSettings(_Section):
    """Offline jobs."""

    at_once: int = Field(8, ge=1)
    """How many run here at the same time; further ones wait for their turn."""
    interceptor_url: str = ""
    """Base of the URLs at which task apps reach us, and none of the other sidecars on the same
    store. Empty: `server.public_url`, else where we listen."""
    rollout_seconds: float = Field(600.0, gt=0)
    """How long a rollout of a policy job may take; an eval says so itself."""
    prices: Annotated[dict[str, tuple[float, float]], WrapValidator(_table)] = Field(
        default_factory=dict
    )
    """US dollars per million tokens, in and out, by model: over those that are known."""


class BackendSettings(_Section):
    """Where the optimiser is: in this process, or behind a Synth-compatible API."""

    kind: Literal["embedded", "remote"] = "embedded"
    url: str = ""
    """Base of the remote API, with or without `/api`."""
    api_key: SecretStr | None = None
    """Sent to the remote backend, and to nobody else."""
    allowed_origins: tuple[str, ...] = ()
    """Origins (`https://host`) that the proxy URLs in its answers may have, beside its own."""
    connect_ms: float = Field(150.0, gt=0)
    """Longest that a call waits for a connection to it before it goes to the provider."""
    timeout: float = Field(5.0, gt=0)
    """Longest that one call of its API may take, seconds. Not for chat completions."""
    poll_seconds: float = Field(5.0, gt=0)
    """How often it is asked whether it is there and how its sessions are."""
    concurrency: int = Field(8, ge=1)
    """Most calls of its API under way at once."""
    batch_size: int = Field(50, ge=1)
    """Most rewards in one report to it."""
    max_attempts: int = Field(1500, ge=1)
    """Reports before a reward becomes a dead letter: at a minute each, about a day."""


class Route(_Section):
    """Which `/v1/chat/completions` calls belong to a session. All given conditions must hold."""

    session: str
    model: str = ""
    """Exact model name, or a prefix ending in `*`."""
    header: dict[str, str] = Field(default_factory=dict)
    api_key_sha256: str = ""
    """Hex SHA-256 of the client's bearer token."""


class SessionSettings(_Section):
    """A session that exists from the start."""

    id: str
    algorithm: Literal["gepa", "mipro"] = "gepa"
    baseline: str = ""
    """The system prompt, with `{wildcards}`."""
    baseline_file: Path | None = None
    wildcards: dict[str, Literal["REQUIRED", "OPTIONAL"]] = Field(default_factory=dict)
    config: dict[str, Any] = Field(default_factory=dict)
    """Anything of the published `prompt_learning` config; merged over the above."""

    @property
    def has_prompt(self) -> bool:
        """Whether it says what to begin with. Without that it can only be found, not made."""
        named = bool(self.baseline) or self.baseline_file is not None
        return named or "initial_prompt" in self.config

    def create_request(self) -> dict[str, Any]:
        """The create request that makes or finds this session. Raises as `config_body` does."""
        request: dict[str, Any] = {"session_id": self.id}
        return request | ({"config_body": self.config_body()} if self.has_prompt else {})

    def config_body(self) -> dict[str, Any]:
        """The `config_body` of the create request that makes this session. Raises `OSError` or
        `UnicodeError` when the baseline's file cannot be read."""
        text = self.baseline
        if self.baseline_file is not None:
            text = self.baseline_file.read_text(encoding="utf-8")
        prompt = {
            "id": self.id,
            "messages": [{"role": "system", "pattern": text}],
            "wildcards": dict(self.wildcards),
        }
        body = {"algorithm": self.algorithm, "initial_prompt": prompt, **self.config}
        return {"prompt_learning": body}


def _level(name: object) -> object:
    """`LOG_LEVEL` is upper case in most places, and `WARN` in some."""
    lower = name.lower() if isinstance(name, str) else name
    return "warning" if lower == "warn" else lower


class Logging(_Section):
    """What is written to standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_level)] = "info"
    format: Literal["auto", "json", "text"] = "auto"
    """`auto`: text on a terminal, JSON elsewhere."""


class Settings(_Section):
    """Everything."""

    server: Server = Server()
    provider: Provider = Provider()
    store: StoreSettings = StoreSettings()
    gateway: Gateway = Gateway()
    feedback: FeedbackSettings = FeedbackSettings()
    engine: Engine = Engine()
    backend: BackendSettings = BackendSettings()
    jobs: JobSettings = JobSettings()
    log: Logging = Logging()
    sources: tuple[SourceSettings, ...] = ()
    routes: tuple[Route, ...] = ()
    sessions: tuple[SessionSettings, ...] = ()

    @property
    def proposer_origins(self) -> tuple[str, ...]:
        """Where a request may say that new prompts are written: our own reflection model's address
        and those that are allowed beside it."""
        own = self.engine.proposer_base_url or self.provider.base_url
        return (own, *self.engine.proposer_origins)
