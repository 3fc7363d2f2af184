"""Tasks that are cancelled end, also where a first cancellation is lost."""

import asyncio

import pytest

from mediaq.queue.cancelling import cancel


async def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    lost = asyncio.Event()

    async def deaf_at_first() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            lost.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(deaf_at_first())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await cancel([task])
    assert lost.is_set()
    assert task.cancelled()


@pytest.mark.parametrize("ends", [None, ValueError("bad")], ids=["well", "with an error"])
async def test_a_task_that_has_ended_is_left_as_it_is(ends: Exception | None) -> None:
    async def end() -> None:
        if ends:
            raise ends

    task = asyncio.create_task(end())
    await asyncio.sleep(0)
    await cancel([task])
    assert (task.done(), task.cancelled(), task.exception()) == (True, False, ends)
