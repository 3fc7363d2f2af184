"""The OpenAPI document as a page for people: without a framework, whole without JavaScript."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mediaq.service.html import Html, join, prose, tag
from mediaq.service.schema_words import constraints, name_kind

JSON = "application/json"
EVENTS = "text/event-stream"


def render(document: Mapping[str, Any]) -> str:
    """Returns the page.

    Args:
        document: The OpenAPI document.
    """
    info, operations = document["info"], list(_operations(document))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{info['title']} {info['version']}"),
        tag("link", rel="icon", href="data:,"),
        tag("link", rel="stylesheet", href="docs/docs.css"),
        tag("script", src="docs/docs.js", defer=True),
    )
    main = tag(
        "main",
        tag("p", prose(info["description"]), class_="about"),
        _access(document),
        *(_section(group, operations) for group in document["tags"]),
        _schemas(document["components"]["schemas"]),
    )
    body = tag("body", _banner(info), _navigation(document, operations), main)
    return "<!doctype html>\n" + tag("html", head, body, lang="en")


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, {"security": document["security"], **operation}


def _banner(info: Mapping[str, Any]) -> Html:
    return tag(
        "header",
        tag("h1", info["title"], " ", tag("small", info["version"])),
        tag("a", "openapi.json", href="openapi.json"),
    )


def _navigation(document: Mapping[str, Any], operations: list[tuple[str, str, dict[str, Any]]]) -> Html:
    groups = [
        tag("details", tag("summary", group["name"]), _links(group["name"], operations), open=True)
        for group in document["tags"]
    ]
    names = [tag("li", tag("a", name, href=f"#{name}")) for name in sorted(document["components"]["schemas"])]
    return tag("nav", *groups, tag("details", tag("summary", "schemas"), tag("ul", *names)))


def _links(group: str, operations: list[tuple[str, str, dict[str, Any]]]) -> Html:
    return tag(
        "ul",
        *(
            tag("li", tag("a", _verb(method), " ", tag("span", path), href=f"#{operation['operationId']}"))
            for method, path, operation in operations
            if group in operation["tags"]
        ),
    )


def _verb(method: str) -> Html:
    return tag("b", method, class_=f"verb {method.lower()}")


def _access(document: Mapping[str, Any]) -> Html:
    told = [
        tag("p", tag("b", name), ": ", prose(scheme.get("description", "")))
        for name, scheme in document["components"]["securitySchemes"].items()
    ]
    field = tag(
        "label",
        "Token, to try it out (kept in this page alone) ",
        tag("input", id="token", type="password", autocomplete="off", spellcheck="false"),
    )
    return tag("section", tag("h2", "Access"), *told, field)


def _section(group: Mapping[str, Any], operations: list[tuple[str, str, dict[str, Any]]]) -> Html:
    return tag(
        "section",
        tag("h2", group["name"]),
        tag("p", group["description"]),
        *(_article(*one) for one in operations if group["name"] in one[2]["tags"]),
    )


def _article(method: str, path: str, operation: Mapping[str, Any]) -> Html:
    return tag(
        "article",
        tag("h3", _verb(method), " ", tag("code", path)),
        _about(operation),
        _parameters(operation.get("parameters", [])),
        _body(operation),
        _curl(method, path, operation),
        _answers(operation["responses"]),
        _trial(method, path, operation),
        id=operation["operationId"],
    )


def _about(operation: Mapping[str, Any]) -> Html:
    summary, description = operation["summary"], operation["description"]
    if description.startswith(summary.removesuffix(".")):
        return tag("p", prose(description))
    return tag("p", tag("b", summary), " ", prose(description))


def _table(titles: tuple[str, ...], rows: list[Html]) -> Html:
    head = tag("tr", *(tag("th", title) for title in titles))
    return (
        tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="wide") if rows else Html()
    )


def _parameters(parameters: list[dict[str, Any]]) -> Html:
    rows = [
        _row(
            one["name"], one["schema"], one["description"], place=one["in"], needed=one.get("required", False)
        )
        for one in parameters
    ]
    return (
        join([tag("h4", "Parameters"), _table(("name", "in", "type", "what it says"), rows)])
        if rows
        else Html()
    )


def _row(name: str, schema: Mapping[str, Any], text: str, *, place: str = "", needed: bool) -> Html:
    mark = tag("small", " required") if needed else ""
    limits = constraints(schema)
    return tag(
        "tr",
        tag("td", tag("code", name), mark),
        *([tag("td", place)] if place else []),
        tag("td", name_kind(schema)),
        tag("td", prose(text), *([" ", tag("small", limits)] if limits else [])),
    )


def _body(operation: Mapping[str, Any]) -> Html:
    if "requestBody" not in operation:
        return Html()
    return tag("p", "Body: ", name_kind(operation["requestBody"]["content"][JSON]["schema"]), class_="body")


def _example(operation: Mapping[str, Any]) -> str:
    return json.dumps(operation["requestBody"]["content"][JSON]["example"], indent=2, ensure_ascii=False)


def _curl(method: str, path: str, operation: Mapping[str, Any]) -> Html:
    lines = [f'curl --request {method} "$MEDIAQ_API_URL{_filled(path, operation.get("parameters", []))}"']
    if operation["security"]:
        lines.append('--header "Authorization: Bearer $MEDIAQ_TOKEN"')
    if "requestBody" in operation:
        # Within the shell's quotes, one of its own ends them.
        quoted = _example(operation).replace("'", "'\\''")
        lines += [f"--header 'Content-Type: {JSON}'", f"--data '{quoted}'"]
    return tag(
        "figure", tag("figcaption", "curl"), tag("pre", tag("code", " \\\n    ".join(lines))), class_="copied"
    )


def _filled(path: str, parameters: list[dict[str, Any]]) -> str:
    for one in parameters:
        if one["in"] == "path":
            value = one["schema"].get("enum", one["schema"].get("examples", [one["name"].upper()]))[0]
            path = path.replace(f"{{{one['name']}}}", str(value))
    return path


def _answers(responses: Mapping[str, Any]) -> Html:
    rows = [_answer(status, response) for status, response in responses.items()]
    return join([tag("h4", "Answers"), *rows])


def _answer(status: str, response: Mapping[str, Any]) -> Html:
    kinds = [
        join([" ", tag("small", media_type), " ", name_kind(content["schema"])])
        for media_type, content in response.get("content", {}).items()
    ]
    headers = [
        tag("p", tag("code", name), ": ", prose(header["description"]))
        for name, header in response.get("headers", {}).items()
    ]
    shown = [
        _pre(content["example"]) for content in response.get("content", {}).values() if "example" in content
    ]
    number = tag("b", status, class_=f"status s{status[0]}")
    return tag("details", tag("summary", number, " ", response["description"], *kinds), *headers, *shown)


def _pre(example: Any) -> Html:
    text = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
    return tag("pre", tag("code", text))


def _trial(method: str, path: str, operation: Mapping[str, Any]) -> Html:
    """Returns a form that sends the request; none for what does not end by itself."""
    answers = operation["responses"].values()
    if any(EVENTS in response.get("content", {}) for response in answers):
        return Html()
    fields = [
        tag(
            "label",
            one["name"],
            " ",
            tag(
                "input",
                name=one["name"],
                data_in=one["in"],
                required=one.get("required", False),
                autocomplete="off",
            ),
        )
        for one in operation.get("parameters", [])
    ]
    if "requestBody" in operation:
        text = _example(operation)
        fields.append(
            tag("textarea", text, rows=str(text.count("\n") + 1), spellcheck="false", aria_label="body")
        )
    form = tag("form", *fields, tag("button", "Send"), data_method=method, data_path=path)
    return tag(
        "details", tag("summary", "Try it out"), form, tag("pre", tag("output"), hidden=True), class_="trial"
    )


def _schemas(schemas: Mapping[str, Any]) -> Html:
    return tag("section", tag("h2", "schemas"), *(_schema(name, schemas[name]) for name in sorted(schemas)))


def _schema(name: str, schema: Mapping[str, Any]) -> Html:
    needed = schema.get("required", [])
    rows = [
        _row(field, part, _text(part), needed=field in needed)
        for field, part in schema.get("properties", {}).items()
    ]
    return tag(
        "article",
        tag("h3", tag("code", name)),
        tag("p", prose(schema.get("description", "")), *([] if rows else [" ", name_kind(schema)])),
        _table(("name", "type", "what it says"), rows),
        _rules(schema),
        id=name,
    )


def _text(schema: Mapping[str, Any]) -> str:
    """Returns a field's description, which may stand with the one type that it may have beside null."""
    ways = (way.get("description") for way in schema.get("anyOf", ()))
    return schema.get("description") or next(filter(None, ways), "")


def _rules(schema: Mapping[str, Any]) -> Html:
    rules = {key: schema[key] for key in ("anyOf", "oneOf") if key in schema and "properties" in schema}
    return tag("details", tag("summary", "Rules between the fields"), _pre(rules)) if rules else Html()
