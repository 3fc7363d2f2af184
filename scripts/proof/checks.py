"""What is wanted of a figure, and what was measured."""

from collections.abc import Sequence
from statistics import median

from attrs import frozen


@frozen
class Check:
    """One figure.

    Args:
        what: What it is.
        wanted: What it is to be; empty where it is only shown.
        measured: What it is.
        passed: Whether it is as wanted.
    """

    what: str
    wanted: str
    measured: str
    passed: bool = True


def equal(what: str, wanted: object, measured: object) -> Check:
    """Return a check of something that is to be exactly so."""
    return Check(what, str(wanted), str(measured), wanted == measured)


def at_most(what: str, limit: float, measured: float, unit: str = "s") -> Check:
    """Return a check of a number that must not be exceeded."""
    return Check(what, f"≤ {limit:g} {unit}", f"{measured:,.2f} {unit}", measured <= limit)


def holds(what: str, *, measured: bool) -> Check:
    """Return a check of something that is to be true."""
    return Check(what, "yes", "yes" if measured else "no", measured)


def shown(what: str, measured: object) -> Check:
    """Return a figure of which nothing is wanted."""
    return Check(what, "", str(measured))


def delays(what: str, limit: float, measured: Sequence[float], *, unit: str = "s") -> list[Check]:
    """Return checks of delays: the longest has a limit, the median is shown."""
    if not measured:
        return [Check(what, f"≤ {limit:g} {unit}", "none measured", passed=False)]
    return [
        at_most(f"{what}, longest of {len(measured)}", limit, max(measured), unit),
        shown(f"{what}, median", f"{median(measured):,.2f} {unit}"),
    ]
