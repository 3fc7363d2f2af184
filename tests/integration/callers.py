"""A process that calls one operation as fast as the limits let it: `python -m callers COROUTINES SECONDS`."""

import asyncio
import sys
import time

from mediaq.aws.calls import call
from mediaq.aws.clients import Aws, open_aws
from mediaq.aws.limits import Limits, make_limits
from mediaq.errors import TryAgain
from mediaq.resources import open_redis
from mediaq.settings import load_settings

OPERATION = "comprehend.DetectSentiment"


async def main(coroutines: int, seconds: float) -> None:
    settings = load_settings()
    async with open_aws(settings.aws) as aws, open_redis(settings) as redis:
        limits = make_limits(redis, settings)
        # A client takes a while to be made, and a call's time would go by.
        await aws.client("comprehend")
        until = time.monotonic() + seconds
        await asyncio.gather(*(call_until(aws, limits, until) for _ in range(coroutines)))


async def call_until(aws: Aws, limits: Limits, until: float) -> None:
    while time.monotonic() < until:
        await limits.rates.turn(OPERATION)
        try:
            await call(aws, "comprehend", "detect_sentiment", Text="A fine day.", LanguageCode="en")
        except TryAgain:
            await limits.rates.throttled(OPERATION)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
