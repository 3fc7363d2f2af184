"""The same jobs through RQ's worker and through mediaq's leave the same in Redis."""

import pytest
from differential_kit import Runner, judge, make_ours, make_stock
from differential_scenarios import SCENARIOS, Scenario
from state import compare


@pytest.fixture
def runner(redis_url: str) -> Runner:
    return Runner(redis_url)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_mediaqs_worker_leaves_what_rqs_leaves(runner: Runner, scenario: Scenario) -> None:
    stock, stock_meanwhile = (
        runner.run_forking(scenario) if scenario.forks else runner.run(scenario, make_stock)
    )
    ours, ours_meanwhile = runner.run(scenario, make_ours)
    differences = compare(stock, ours)
    if scenario.forks:
        differences += compare(stock_meanwhile, ours_meanwhile)
    assert not judge(differences, scenario.allowed)
