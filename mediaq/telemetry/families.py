"""Numbers between processes: packed where they are kept, and put on one page where they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from attrs import frozen
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
# Which of several processes a number is of.
LABEL = "process"

Packed = list[tuple[str, str, str, list[tuple[str, dict[str, str], float]]]]


def pack(registry: CollectorRegistry) -> bytes:
    """Returns a process's numbers, to be read by another."""
    return msgspec.msgpack.encode(
        [
            (family.name, family.documentation, family.type, [sample[:3] for sample in family.samples])
            for family in _kept(registry.collect())
        ]
    )


def unpack(packed: bytes, process: str) -> list[Metric]:
    """Returns numbers that another process has packed, labelled as that process's.

    Raises:
        msgspec.DecodeError: They are not what `pack` returns.
    """
    found: list[Metric] = []
    for name, text, kind, samples in msgspec.msgpack.decode(packed, type=Packed):
        family = Metric(name, text, kind)
        for sample, labels, value in samples:
            family.add_sample(sample, {**labels, LABEL: process}, value)
        found.append(family)
    return found


def write_page(families: Iterable[Metric]) -> bytes:
    """Returns the page that Prometheus reads; families of one name stand together."""
    merged: dict[str, Metric] = {}
    for family in _kept(families):
        together = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        together.samples.extend(family.samples)
    return generate_latest(_Page(merged))


def _kept(families: Iterable[Metric]) -> Iterator[Metric]:
    """Yields families without the times of their making, which would be as many series again."""
    for family in families:
        kept = Metric(family.name, family.documentation, family.type)
        kept.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
        yield kept


@frozen
class _Page(Collector):
    """What is written, in the place of a registry."""

    families: Mapping[str, Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families.values()

    def describe(self) -> Any:
        return self.collect()
