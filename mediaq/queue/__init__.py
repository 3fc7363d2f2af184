"""RQ's queues on asyncio: usable alone, without media, AWS or Postgres."""
