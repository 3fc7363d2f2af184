"""Logging: loguru for everything, people's lines on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from typing import TYPE_CHECKING, Any, TextIO

from loguru import logger

if TYPE_CHECKING:
    from loguru import Message, Record

    from mediaq.settings import Logs

HUMAN = (
    "<green>{time:HH:mm:ss.SSS}</green> <level>{level: <7}</level> <cyan>{name}</cyan> "
    "{extra[about]}<level>{message}</level>\n{exception}"
)


def setup_logs(logs: Logs, stream: TextIO | None = None) -> None:
    """Sends every log line of this process, the standard library's included, to one stream.

    Args:
        logs: The least level, and the form: human lines, JSON lines, or by whether the stream is a terminal.
        stream: Where lines go, by default standard error.
    """
    stream = stream or sys.stderr
    human = logs.format == "human" or (logs.format == "auto" and stream.isatty())
    logger.remove()
    if human:
        logger.add(stream, level=logs.level, format=_as_line, backtrace=False, diagnose=False)
    else:
        logger.add(
            lambda message: _write_json(message, stream),
            level=logs.level,
            format="{message}",
            backtrace=False,
            diagnose=False,
        )
    # The standard library has no level TRACE, but takes any number for one.
    logging.basicConfig(handlers=[_Intercept()], level=logger.level(logs.level).no, force=True)


def _as_line(record: Record) -> str:
    record["extra"]["about"] = f"[{record['extra']['job']}] " if "job" in record["extra"] else ""
    return HUMAN


def _write_json(message: Message, stream: TextIO) -> None:
    record = message.record
    line: dict[str, Any] = {
        "time": record["time"].isoformat(),
        "level": record["level"].name,
        "logger": record["name"],
        "message": record["message"],
        **record["extra"],
    }
    if (error := record["exception"]) is not None:
        line["exception"] = "".join(traceback.format_exception(error.type, error.value, error.traceback))
    stream.write(json.dumps(line, default=str) + "\n")
    stream.flush()


class _Intercept(logging.Handler):
    """Hands the standard library's records to loguru, under the logger's own name."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        named = logger.patch(lambda entry: entry.__setitem__("name", record.name))
        named.opt(exception=record.exc_info).log(level, "{}", record.getMessage())
