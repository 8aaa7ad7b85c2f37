"""The log of a run or of the scheduler: lines for people, or one JSON object a line for machines.

Every record may carry fields of its own (`logs.tell(..., run_id=…)`); no record carries a secret.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_LOGGER = logging.getLogger("recon")
_FIELDS = "fields"


class _Json(logging.Formatter):
    """One JSON object a record: time, level, message, and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _Text(logging.Formatter):
    """Time, message and fields on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        fields = "".join(f" {name}={value}" for name, value in getattr(record, _FIELDS, {}).items())
        return f"{at} {record.levelname.lower():<7} {record.getMessage()}{fields}"


def start(form: str) -> None:
    """Log to stderr as `text` or `json`. With `json`, what libraries warn of is in the same form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    _LOGGER.handlers = [handler]
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False
    if form == "json":
        logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def is_json() -> bool:
    """Whether stderr is for machines: then nothing else may be written there."""
    return any(isinstance(handler.formatter, _Json) for handler in _LOGGER.handlers)


def tell(message: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log a message with fields that are not None; nowhere, if no log was started."""
    if _LOGGER.handlers:
        given = {name: value for name, value in fields.items() if value is not None}
        _LOGGER.log(level, message, extra={_FIELDS: given})
