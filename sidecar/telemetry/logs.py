"""What is written to standard error: text on a terminal, one JSON object a line elsewhere.

Our own events (structlog) and those of libraries (the standard logging) take the same way out, so
nothing gets past the redaction. Redaction comes after tracebacks have become text: an exception's
message is where a key is most likely to be quoted.
"""

import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from sidecar.telemetry.redaction import redact


def configure(level: str, style: str = "auto", stream: TextIO | None = None) -> None:
    """Send all logs of this process to `stream` (standard error), from `level` upwards.

    `style` is `text`, `json`, or `auto`: text when the stream is a terminal.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    text = style == "text" or (style == "auto" and terminal)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                hide_secrets,
                _text(colours=terminal) if text else structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # Several lines per request of the engine's own, headers and cookies among them.
    for chatty in ("httpx", "httpx2", "httpcore", "httpcore2", "openai"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # loggers made at import follow a later `configure`
    )


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The redaction, as a processor."""
    redacted: dict[str, Any] = redact(event)
    return redacted


def _text(*, colours: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=colours,
        exception_formatter=structlog.dev.plain_traceback,  # ours is text by then
    )
