"""Pages of numbers, as Prometheus reads them."""

from collections.abc import Mapping

from attrs import frozen
from prometheus_client.parser import text_string_to_metric_families


@frozen
class Numbers:
    """What a page says: values by name and labels."""

    page: str
    values: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    @classmethod
    def read(cls, page: str) -> "Numbers":
        samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
        values = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
        # A series that stands on a page twice is an error.
        assert len(values) == len(samples)
        return cls(page, values)

    @property
    def names(self) -> set[str]:
        """The names of all that there is, also of what has no value yet."""
        families = text_string_to_metric_families(self.page)
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        return {f"{family.name}{end}" for family in families for end in endings.get(family.type, ("",))}

    def labels(self, name: str) -> set[str]:
        return {label for found, labels in self.values if found == name for label, _ in labels}

    def sum(self, name: str, **labels: str) -> float:
        """The sum of all values of that name that have these labels."""
        wanted = labels.items()
        return sum(value for (found, has), value in self.values.items() if found == name and wanted <= has)
