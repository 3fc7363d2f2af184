"""Logging: lines for people on a terminal, JSON lines elsewhere, the standard library's included."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from mediaq.logs import setup_logs
from mediaq.settings import Logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    logger.remove()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> io.StringIO:
    """Where JSON lines go."""
    target = io.StringIO()
    setup_logs(Logs(format="json"), target)
    return target


def test_each_line_is_json_and_says_when_where_and_what(stream: io.StringIO) -> None:
    logger.info("pushed {} again", "job-1")
    logger.warning("multiple\nlines, “quotes” and {braces}")
    first, second = lines(stream)
    assert first.pop("time").startswith("20")
    assert first == {"level": "INFO", "logger": __name__, "message": "pushed job-1 again"}
    assert second["message"] == "multiple\nlines, “quotes” and {braces}"


def test_a_line_carries_the_job_it_is_about(stream: io.StringIO) -> None:
    with logger.contextualize(job="job-1"):
        logger.info("inside")
    logger.info("outside")
    inside, outside = lines(stream)
    assert inside["job"] == "job-1"
    assert "job" not in outside


def test_the_standard_librarys_lines_arrive_under_their_loggers_name(stream: io.StringIO) -> None:
    logging.getLogger("some.library").info("%d%% of {braces}", 50)
    logging.getLogger("some.library").log(25, "a level of its own")
    named, odd = lines(stream)
    assert (named["logger"], named["level"], named["message"]) == ("some.library", "INFO", "50% of {braces}")
    assert odd["message"] == "a level of its own"


@pytest.mark.parametrize("log", [logger.exception, logging.getLogger("library").exception])
def test_an_exception_is_told_with_its_traceback(stream: io.StringIO, log: Any) -> None:
    try:
        next(iter(()))
    except StopIteration:
        log("it failed")
    [line] = lines(stream)
    assert line["message"] == "it failed"
    assert line["exception"].startswith("Traceback (most recent call last):")
    assert line["exception"].endswith("\nStopIteration\n")


def test_a_value_that_json_does_not_know_is_told_as_text(stream: io.StringIO) -> None:
    logger.bind(where=io.StringIO).info("odd")
    assert lines(stream)[0]["where"] == str(io.StringIO)


@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("TRACE", ["trace", "debug", "library", "info"]),
        ("DEBUG", ["debug", "library", "info"]),
        ("INFO", ["info"]),
        ("ERROR", []),
    ],
)
def test_what_is_below_the_level_is_not_told(level: Any, told: list[str]) -> None:
    stream = io.StringIO()
    setup_logs(Logs(format="json", level=level), stream)
    logger.trace("trace")
    logger.debug("debug")
    logging.getLogger("library").debug("library")
    logger.info("info")
    assert [line["message"] for line in lines(stream)] == told


def test_setting_up_again_tells_each_line_once_and_on_the_new_stream(stream: io.StringIO) -> None:
    again = io.StringIO()
    setup_logs(Logs(format="json"), again)
    logger.info("once")
    logging.getLogger("library").info("too")
    assert stream.getvalue() == ""
    assert [line["message"] for line in lines(again)] == ["once", "too"]


def test_the_form_is_for_people_on_a_terminal_and_json_elsewhere() -> None:
    terminal, file = Terminal(), io.StringIO()
    setup_logs(Logs(), terminal)
    logger.info("hello")
    setup_logs(Logs(), file)
    logger.info("hello")
    assert "\x1b[" in terminal.getvalue()
    assert lines(file)[0]["message"] == "hello"


def test_lines_for_people_have_no_colours_when_they_do_not_go_to_a_terminal() -> None:
    stream = io.StringIO()
    setup_logs(Logs(format="human"), stream)
    with logger.contextualize(job="job-1"):
        logger.info("<red>hello</red> {}", "{world}")
    logging.getLogger("some.library").warning("careful")
    first, second = stream.getvalue().splitlines()
    assert first.endswith(f"INFO    {__name__} [job-1] <red>hello</red> {{world}}")
    assert second.endswith("WARNING some.library careful")
    assert "\x1b" not in stream.getvalue()


def test_lines_for_people_tell_an_exception_without_the_values_around_it() -> None:
    stream = io.StringIO()
    setup_logs(Logs(format="human"), stream)
    password = "s3" + "cret"
    try:
        int(password)
    except ValueError:
        logger.opt(exception=True).error("it failed")
    told = stream.getvalue()
    assert "int(password)" in told
    # Once in the error's own words; a diagnosis would tell it again beside the line of code.
    assert told.count("s3cret") == 1


def test_lines_go_to_standard_error_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logs(Logs(format="json"))
    logger.info("hello")
    assert json.loads(capsys.readouterr().err)["message"] == "hello"
