"""What `scripts/chaos` draws from its seed."""

from collections import Counter

import pytest

from havoc.catalog import KINDS
from havoc.crew import Roster
from havoc.faults import Fault
from havoc.orders import Order, draw_orders
from havoc.schedule import draw_deploys, draw_faults
from mediaq.pipelines.catalog import PIPELINES

ROSTER = Roster.of(2)


def faults(seed: int, count: int = 2 * len(KINDS)) -> list[Fault]:
    return draw_faults(seed, count, 300, KINDS, ROSTER.roles)


def orders(seed: int, count: int = 100) -> list[Order]:
    return draw_orders(seed, count, 300, "media")


def test_the_same_seed_gives_the_same_faults_and_requests() -> None:
    assert faults(1) == faults(1)
    assert orders(1) == orders(1)


def test_another_seed_gives_others() -> None:
    assert faults(1) != faults(2)
    assert orders(1) != orders(2)


def test_more_requests_change_nothing_about_the_faults() -> None:
    before = faults(1)
    orders(1, 7)
    assert faults(1) == before


def test_no_kind_comes_twice_before_every_kind_has_come() -> None:
    names = [fault.kind for fault in faults(1)]
    assert set(names[: len(KINDS)]) == set(names[len(KINDS) :]) == {kind.name for kind in KINDS}


def test_faults_come_in_their_order_while_requests_come() -> None:
    times = [fault.at for fault in faults(1)]
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < max(order.due for order in orders(1))


def test_each_fault_strikes_a_process_of_its_kinds_role() -> None:
    roles = {kind.name: kind.role for kind in KINDS}
    for fault in faults(1):
        allowed = ROSTER.roles.get(roles[fault.kind], ())
        assert set(fault.targets) <= set(allowed)
        assert len(fault.targets) == bool(allowed)


def test_deploys_come_at_even_times_and_concern_all_workers() -> None:
    deploys = draw_deploys(60, 300, ROSTER.all_workers)
    assert [fault.at for fault in deploys] == [60, 120, 180, 240]
    assert {fault.targets for fault in deploys} == {("worker-1", "worker-2", "stock")}
    assert draw_deploys(0, 300, ROSTER.all_workers) == []


def test_no_two_jobs_share_media_or_a_key() -> None:
    drawn = orders(1)
    for shared in ("media_item", "key"):
        assert len({getattr(order, shared) for order in drawn}) == len(drawn)
    resources = [resource for order in drawn for resource in order.resources]
    assert len(resources) == len(set(resources))


@pytest.mark.parametrize("count", [1, 3, 100])
def test_the_last_requests_are_one_of_each_type_with_all_operations(count: int) -> None:
    drawn = orders(1, count)
    last = drawn[-4:] if count > 4 else drawn
    assert len(drawn) == count
    assert len({order.queue for order in last}) == len(last)
    for order in last:
        names = {operation.name for operation in PIPELINES[order.queue].operations}
        assert set(order.operations) == names


def test_requests_ask_for_one_for_some_and_for_all_operations() -> None:
    asked = Counter(len(order.operations) for order in orders(1) if order.queue == "image-processing")
    assert set(asked) == {1, 2, 3, 4}
