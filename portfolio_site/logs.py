"""Logging: every line, ours or a library's, goes through structlog to stderr with time, level and context."""

from typing import Any

import structlog

SHARED_PROCESSORS: tuple[Any, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)


def structlog_configure() -> None:
    """Send structlog's own loggers through the standard library, so one handler sees everything."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED_PROCESSORS,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def logging_config(*, format_name: str, level: str) -> dict[str, Any]:
    """Return the `LOGGING` setting.

    :param format_name: `json` (one object a line) or `console` (for people)
    :param level: lowest level written, such as `INFO`
    """
    if format_name == "json":
        renderers: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # Plain: with rich installed the default prints local variables, passwords too, and takes 1 s.
        plain = structlog.dev.plain_traceback
        renderers = [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
                "foreign_pre_chain": list(SHARED_PROCESSORS),
            },
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Each request is told once, by django_structlog; these would tell it again.
            "django.server": {"level": "WARNING"},
            "uvicorn.access": {"level": "WARNING"},
            # Each task and each tick of beat, twice a second for ever.
            "celery.app.trace": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.worker.request": {"level": "WARNING"},
            "celery.beat": {"level": "WARNING"},
            # At DEBUG these write addresses with their signatures, and headers.
            **{name: {"level": "INFO"} for name in ("ccxt", "urllib3", "requests", "aiohttp", "websockets")},
        },
    }
