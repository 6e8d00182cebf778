"""Log lines as JSON objects on standard error, one per line, in the format of Cloud Logging.

A line holds only scalar fields that the caller names. Prompts, answers, keys, URLs and the texts of foreign exceptions
are never passed to it. For an exception, log the name of its class.
"""

import logging
import sys
from typing import TextIO

import orjson

Field = str | int | float | bool | None

_logger = logging.getLogger("promptforge")


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        return orjson.dumps({"severity": record.levelname, "event": record.getMessage(), **fields}).decode()


class _LibraryFormatter(logging.Formatter):
    """Logs the logger and the level of a library's message, not its text, which may contain a client's data."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        line = {"severity": record.levelname, "event": "library_message", "logger": record.name, "error": error}
        return orjson.dumps(line).decode()


def configure(level: str, stream: TextIO | None = None) -> None:
    """Write log lines of `level` and above to `stream`, by default standard error.

    Each warning of a library is written as a line without its text.
    """
    targets = ((_logger, _JsonFormatter(), level), (logging.getLogger(), _LibraryFormatter(), "WARNING"))
    for logger, formatter, threshold in targets:
        handler = logging.StreamHandler(stream or sys.stderr)
        handler.setFormatter(formatter)
        logger.handlers = [handler]
        logger.setLevel(threshold)
    _logger.propagate = False


def info(event: str, **fields: Field) -> None:
    """Log an event of normal operation."""
    _logger.info(event, extra={"fields": fields})


def warning(event: str, **fields: Field) -> None:
    """Log a failure that is retried or skipped."""
    _logger.warning(event, extra={"fields": fields})


def error(event: str, **fields: Field) -> None:
    """Log a failure that requires attention."""
    _logger.error(event, extra={"fields": fields})
