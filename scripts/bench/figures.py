"""Figures by peer and name, round by round."""

from collections.abc import Mapping, Sequence
from statistics import median

Figures = Mapping[str, float]
Round = Mapping[str, Figures]


def medians(rounds: Sequence[Round]) -> dict[str, dict[str, float]]:
    """Return the median of each figure of each peer over the rounds that have it."""
    peers = dict.fromkeys(peer for one in rounds for peer in one)
    return {peer: _medians([one[peer] for one in rounds if peer in one]) for peer in peers}


def _medians(all_figures: Sequence[Figures]) -> dict[str, float]:
    names = dict.fromkeys(name for figures in all_figures for name in figures)
    return {name: median(figures[name] for figures in all_figures if name in figures) for name in names}
