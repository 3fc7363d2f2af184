"""What came of the demo's jobs: the results in short, and what every call cost."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mediaq.embedded.demo_jobs import Cost, JobState, Order
from mediaq.model import Certainty, JobStatus

MOST_NAMED = 5
MOST_NUMBERS = 6
NAME_CELLS = 30

Outcome = tuple[Order, JobState]


def print_results(console: Console, outcomes: Iterable[Outcome]) -> None:
    """Print each job's results in a few lines, and the reason where it failed."""
    for order, state in outcomes:
        console.print(f"\n{order.name}: {order.job_type}", style="bold")
        lines = Table.grid(padding=(0, 2))
        for name, result in (state.returnvalue or {}).items():
            if summarise := SUMMARIES.get(name):
                lines.add_row(f"  {name}", readable(summarise(result)), style="")
        if state.status is JobStatus.FAILED:
            lines.add_row(Text("  failed", "red"), readable(state.failed_reason or "no reason was given"))
        console.print(lines)


def print_costs(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print a row for each call, and the exact sums, apart by how sure they are."""
    costs = [cost for _, state in outcomes for cost in state.costs]
    table = Table(title="\nCosts, in US dollars", title_justify="left", box=SIMPLE, show_footer=True)
    table.add_column("operation", "total", no_wrap=True, max_width=NAME_CELLS)
    table.add_column("item: units x unit price", overflow="fold")
    table.add_column("amount", _dollars(_sum(costs, Certainty.BILLED)), justify="right", no_wrap=True)
    table.add_column("certainty", Certainty.BILLED)
    for order, state in outcomes:
        table.add_row(readable(order.name), order.job_type, style="bold")
        for cost in state.costs:
            price = f"{cost.item}: {cost.units:f} x {_dollars(cost.unit_price)} per {cost.unit}"
            table.add_row(f"  {cost.operation}", price, _dollars(cost.amount), cost.certainty)
    console.print(table)
    if unsure := _sum(costs, Certainty.POSSIBLY_BILLED):
        console.print(f"and at most {_dollars(unsure)} for calls whose answers were lost")


def readable(text: str) -> Text:
    """Return text from a file or an answer in a form that cannot steer the terminal."""
    return Text("".join(letter if letter.isprintable() else " " for letter in text))


def _sum(costs: Iterable[Cost], certainty: Certainty) -> Decimal:
    return sum((cost.amount for cost in costs if cost.certainty == certainty), Decimal(0))


def _dollars(amount: Decimal) -> str:
    return f"${amount:f}"


def _named(found: Iterable[tuple[str, float]]) -> str:
    """The surest of what was found; a name that was found more than once counts once."""
    best: dict[str, float] = {}
    for name, percent in found:
        best[name] = max(percent, best.get(name, 0))
    surest = sorted(best.items(), key=lambda item: -item[1])
    named = ", ".join(f"{name} {percent:.0f} %" for name, percent in surest[:MOST_NAMED])
    further = f" and {len(surest) - MOST_NAMED} more" if len(surest) > MOST_NAMED else ""
    return named + further or "none"


def _labels(labels: list[dict[str, Any]]) -> str:
    # A video's labels each stand beside their time.
    bare = [label.get("Label", label) for label in labels]
    return _named((label["Name"], label["Confidence"]) for label in bare)


def _lines(found: list[dict[str, Any]]) -> str:
    return " / ".join(text["DetectedText"] for text in found if text["Type"] == "LINE") or "none"


def _count_faces(faces: list[Any]) -> str:
    return f"{len(faces)} found"


def _transcription(transcription: Mapping[str, Any]) -> str:
    return f"({transcription['languageCode']}) {transcription['text']}"


def _thumbnails(pictures: list[dict[str, Any]]) -> str:
    seconds = ", ".join(f"{picture['atMs'] / 1000:.2f} s" for picture in pictures)
    first = pictures[0]
    return (
        f"{len(pictures)} of {first['width']} x {first['height']}, at {seconds}; the first: {first['s3Key']}"
    )


def _sentiment(sentiment: Mapping[str, Any]) -> str:
    return (
        f"{sentiment['Sentiment']} ({_named((k, v * 100) for k, v in sentiment['SentimentScore'].items())})"
    )


def _entities(entities: list[dict[str, Any]]) -> str:
    return _named((f"{entity['Text']} ({entity['Type']})", entity["Score"] * 100) for entity in entities)


def _key_phrases(phrases: list[dict[str, Any]]) -> str:
    return _named((phrase["Text"], phrase["Score"] * 100) for phrase in phrases)


def _languages(languages: list[dict[str, Any]]) -> str:
    return _named((language["LanguageCode"], language["Score"] * 100) for language in languages)


def _vector(vector: list[float]) -> str:
    numbers = ", ".join(f"{number:.4f}" for number in vector[:MOST_NUMBERS])
    return f"{len(vector)} numbers: {numbers}, ..."


SUMMARIES: Mapping[str, Callable[[Any], str]] = {
    "labels": _labels,
    "text": _lines,
    "faces": _count_faces,
    "moderation": _labels,
    "transcription": _transcription,
    "thumbnails": _thumbnails,
    "sentiment": _sentiment,
    "entities": _entities,
    "keyPhrases": _key_phrases,
    "language": _languages,
    "source": str,
    "embedding": _vector,
}
