"""HTML as values: what is text is escaped, whatever it has in it."""

from __future__ import annotations

from html import escape

VOID = {"input", "link", "meta"}


class Html(str):
    """A piece of HTML; every other text is escaped where it is put into one."""

    __slots__ = ()


def tag(name: str, /, *content: str, **attributes: str | bool) -> Html:
    """Returns an element.

    Args:
        name: Its name.
        content: What is in it: HTML, or text.
        attributes: Its attributes; `_` stands for `-`, and a last one is dropped. True: without a value;
            False: left out.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items() if value is not False)
    inside = "".join(join(content))
    return Html(f"<{name}{given}>" if name in VOID else f"<{name}{given}>{inside}</{name}>")


def join(content: tuple[str, ...] | list[str]) -> Html:
    """Returns pieces one after the other."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in content))


def prose(text: str) -> Html:
    """Returns a text in which what stands in backquotes is code."""
    parts = text.split("`")
    return join([tag("code", part) if place % 2 else part for place, part in enumerate(parts)])


def _attribute(key: str, value: str | bool) -> str:
    name = key.removesuffix("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
