"""What stands in a Redis database, made comparable: ids of chance, times and frames become placeholders."""

import base64
import re
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from attrs import field, frozen
from redis import Redis
from rq.results import Result
from rq.serializers import Serializer

# Where a value stands: the key, and the field, member or place in it.
Path = tuple[str, ...]
State = dict[Path, object]

EXECUTION = re.compile(r"(?<![^:])[0-9a-f]{32}$")
ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
EPOCH_TIME = re.compile(r"\d{10}(\.\d+)?")
# What differs from process to process, from connection to connection, from execution to execution.
CHANCE = {
    "pid": r"\d+",
    "ip_address": r"[\d.]+:\d+",
    "id": r"[0-9a-f]{32}",
    "execution_id": r"[0-9a-f]{32}",
}
# Seconds that a busy machine may add to a job.
MOST_IDLE = 0.5
FRAME = re.compile(r'  File ".*?(\w+)\.py", line \d+, in (\w+)')
# Our own files, whose frames in a traceback are the same whoever runs them.
JOBS = "errands"


@frozen(eq=False)
class Near:
    """A number that varies by as much as a run takes."""

    value: float
    slack: float = field(repr=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Near):
            return NotImplemented
        return abs(self.value - other.value) <= max(self.slack, other.slack)

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"about {self.value:.1f}"


@frozen
class Window:
    """When a run began and ended, in epoch seconds."""

    began: float
    ended: float

    def place(self, moment: float) -> object:
        """Tell a time by the run: that is what two runs have in common."""
        if moment < self.began:
            return "<before the run>" if moment > self.began - 60 else self.from_end(moment)
        return "<during the run>" if moment <= self.ended else self.from_end(moment)

    def from_end(self, moment: float) -> Near:
        # RQ scores by whole seconds.
        return Near(moment - self.ended, self.ended - self.began + 1.05)

    def expiry(self, moment: float) -> Near:
        """As `from_end`, for what is kept to the millisecond: tells 500 seconds to live from 501."""
        return Near(moment - self.ended, self.ended - self.began + 0.05)


@frozen
class Reader:
    """Reads a database.

    Args:
        redis: A client that decodes nothing.
        serializer: The jobs' own.
        began: When the run began, in epoch seconds.
    """

    redis: Redis
    serializer: Serializer
    began: float

    def read(self) -> State:
        """Return every value of every key but those by which tests talk to jobs."""
        return _Reading(self.redis, self.serializer, Window(self.began, time.time())).read()


@frozen
class _Reading:
    # Answers with bytes, which its types do not know.
    redis: Any
    serializer: Serializer
    window: Window

    def read(self) -> State:
        state: State = {}
        for key in sorted(self.redis.keys()):
            if not key.startswith(b"test:"):
                self._read_key(state, key)
        return state

    def _read_key(self, state: State, key: bytes) -> None:
        kind = self.redis.type(key).decode()
        name = unused(state, EXECUTION.sub("<execution>", key.decode()))
        state[name, "type"] = kind
        state[name, "expires"] = self._expiry(key)
        readers: dict[str, Callable[[bytes], State]] = {
            "string": self._string,
            "hash": self._hash,
            "list": self._list,
            "set": self._set,
            "zset": self._zset,
            "stream": self._stream,
        }
        for path, value in readers[kind](key).items():
            state[name, *path] = value

    def _expiry(self, key: bytes) -> object:
        left = self.redis.pexpiretime(key)
        return "never" if left < 0 else self.window.expiry(left / 1000)

    def _string(self, key: bytes) -> State:
        return {("value",): self._plain("", self.redis.get(key) or b"")}

    def _list(self, key: bytes) -> State:
        return {("items",): [item.decode() for item in self.redis.lrange(key, 0, -1)]}

    def _set(self, key: bytes) -> State:
        return {(EXECUTION.sub("<execution>", item.decode()),): "member" for item in self.redis.smembers(key)}

    def _zset(self, key: bytes) -> State:
        scores = self.redis.zrange(key, 0, -1, withscores=True)
        return {(EXECUTION.sub("<execution>", item.decode()),): self._score(score) for item, score in scores}

    def _score(self, score: float) -> object:
        return self.window.from_end(score) if 1e9 < score < 1e10 else score

    def _hash(self, key: bytes) -> State:
        found = {name.decode(): value for name, value in self.redis.hgetall(key).items()}
        kind = re.match(rb"rq:(job|worker):[^:]+$", key)
        fields: dict[str, object] = {name: self._plain(name, value) for name, value in found.items()}
        if kind and kind[1] == b"job":
            fields |= self._job(key, found)
        elif kind and "total_working_time" in found:
            jobs = sum(int(found.get(f"{which}_job_count", 0)) for which in ("successful", "failed"))
            fields["total_working_time"] = Near(float(found["total_working_time"]), MOST_IDLE * jobs)
        return {(name,): value for name, value in fields.items()}

    def _job(self, key: bytes, found: dict[str, bytes]) -> dict[str, object]:
        fields: dict[str, object] = {}
        if "data" in found:
            fields["data"] = self._call(found["data"])
        if "meta" in found:
            fields["meta"] = self._load(found["meta"])
        if self._ended_with_result(key, found["ended_at"].decode()):
            fields["ended_at"] = "<the end of the last result>"
        return fields

    def _ended_with_result(self, job: bytes, ended: str) -> bool:
        """Tell whether the job ended when its last result says; of a retried attempt, stock leaves none."""
        final = {Result.Type.SUCCESSFUL.value, Result.Type.FAILED.value}
        for _, entry in self.redis.xrevrange(job.replace(b"rq:job:", b"rq:results:"), count=1):
            if ended and int(entry[b"type"]) in final:
                moment = datetime.fromisoformat(ended).timestamp()
                return abs(moment - float(entry[b"execution_ended_at"])) < 2e-6
        return False

    def _stream(self, key: bytes) -> State:
        fields: State = {}
        order: list[str] = []
        for _, entry in self.redis.xrange(key):
            kind = Result.Type(int(entry[b"type"])).name.lower()
            order.append(kind)
            for name, value in entry.items():
                fields[f"{kind} {order.count(kind)}", name.decode()] = self._result(name.decode(), value)
        fields[("order",)] = order
        return fields

    def _result(self, field: str, value: bytes) -> object:
        match field:
            case "return_value":
                return self._load(base64.b64decode(value))
            case "exc_string":
                return shorten(zlib.decompress(base64.b64decode(value)).decode())
        return self._plain(field, value)

    def _call(self, value: bytes) -> object:
        # RQ reads what is not compressed, too.
        with suppress(zlib.error):
            value = zlib.decompress(value)
        return self._load(value)

    def _load(self, value: bytes) -> str:
        try:
            return repr(self.serializer.loads(value))
        except Exception:  # noqa: BLE001 - some scenarios write what cannot be read
            return repr(value)

    def _plain(self, field: str, value: bytes) -> object:
        text = value.decode(errors="backslashreplace")
        if field in CHANCE and re.fullmatch(CHANCE[field], text):
            return f"<{field}>"
        if ISO_TIME.fullmatch(text):
            return self.window.place(datetime.fromisoformat(text).timestamp())
        if EPOCH_TIME.fullmatch(text):
            return self.window.place(float(text))
        return text


def unused(state: State, name: str) -> str:
    """Return a name that no other key has: two executions of one job have the same."""
    taken = {key for key, *_ in state}
    return name if name not in taken else unused(state, f"{name}'")


def shorten(trace: str) -> str:
    """Leave a traceback its errors and the jobs' own functions; the frames of the worker are its own."""
    lines = []
    for line in trace.splitlines():
        if frame := FRAME.match(line):
            if frame[1] == JOBS:
                lines.append(f"  in {frame[2]}")
        elif not line.startswith("    "):
            lines.append(line)
    return "\n".join(lines)


@frozen
class Difference:
    """One value that two states do not share; None where a state has none."""

    path: Path
    stock: object
    ours: object

    @property
    def name(self) -> str:
        return " / ".join(self.path)

    def __str__(self) -> str:
        return f"{self.name}:\n  stock: {cut(show(self.stock))}\n  ours:  {cut(show(self.ours))}"


def show(value: object) -> str:
    """Return a value as text: nothing where there is none, empty where it is."""
    return "nothing" if value is None else str(value) or "empty"


def cut(text: str) -> str:
    return text if len(text) <= 1000 else f"{text[:1000]}… ({len(text)} characters)"


def compare(stock: State, ours: State) -> list[Difference]:
    """Return what two states do not share; a key that only one of them has is one difference, not many."""
    differences = []
    for path in sorted({*stock, *ours}):
        left, right = stock.get(path), ours.get(path)
        whole = path[1:] == ("type",)
        alone = ((path[0], "type") in stock) != ((path[0], "type") in ours)
        if left != right and (whole or not alone):
            differences.append(Difference(path[:1] if whole and alone else path, left, right))
    return differences
