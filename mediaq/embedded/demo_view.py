"""The demo's jobs as they run: a live table on a terminal, a line for each change elsewhere."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic

from attrs import define, field
from rich.box import SIMPLE
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mediaq.embedded.demo_jobs import JobState, Order, Progress
from mediaq.embedded.demo_results import readable
from mediaq.model import JobStatus, TaskStatus

MARKS: Mapping[str, tuple[str, str]] = {
    TaskStatus.PENDING: ("\N{MIDDLE DOT}", "dim"),
    TaskStatus.PROCESSING: ("\N{BLACK CIRCLE}", "yellow"),
    TaskStatus.COMPLETED: ("\N{CHECK MARK}", "green"),
    TaskStatus.FAILED: ("\N{BALLOT X}", "red"),
}
STYLES: Mapping[str, str] = {
    JobStatus.COMPLETED: "green",
    JobStatus.FAILED: "red",
    JobStatus.ACTIVE: "yellow",
}
BAR_CELLS = 20
REFRESHES_PER_SECOND = 8


@define
class Row:
    """A job as it was last seen; nothing was seen of it while its file is being sent."""

    order: Order
    state: JobState | None = None
    started: float = field(factory=monotonic)
    seconds: float = 0

    def move(self, state: JobState) -> None:
        """Note what was seen of the job."""
        self.state = state
        self.seconds = monotonic() - self.started

    @property
    def status(self) -> Text:
        """Where the job stands, and since when it is under way."""
        if self.state is None:
            return Text("sending")
        attempts = self.state.attempts_made
        attempt = f" (attempt {attempts})" if attempts > 1 else ""
        return Text.assemble(
            (self.state.status, STYLES.get(self.state.status, "")), attempt, f", {self.seconds:.1f} s"
        )


@define
class Board:
    """All jobs, as a table for rich."""

    rows: Sequence[Row]

    def __rich__(self) -> Table:
        table = Table("job", "status", "operations", box=SIMPLE)
        for row in self.rows:
            progress = row.state.progress if row.state else Progress()
            job = Text.assemble(readable(row.order.name), "\n", (row.order.job_type, "dim"))
            bar = ProgressBar(max(progress.total, 1), progress.current, width=BAR_CELLS)
            table.add_row(job, Group(row.status, bar), _operations(progress))
        return table


@contextmanager
def showing(console: Console, orders: Sequence[Order]) -> Iterator[Sequence[Callable[[JobState], None]]]:
    """Show jobs while they run.

    Yields:
        For each job a function that is to be told what is seen of it.
    """
    rows = [Row(order) for order in orders]
    if not console.is_interactive:
        yield [_line_printer(console, row) for row in rows]
        return
    with Live(Board(rows), console=console, refresh_per_second=REFRESHES_PER_SECOND):
        yield [row.move for row in rows]


def _operations(progress: Progress) -> Text:
    lines = []
    for name, task in progress.sub_tasks.items():
        mark, style = MARKS[task.status]
        message = readable(f": {task.message}") if task.message else Text()
        lines.append(Text.assemble((f"{mark} ", style), name, message))
    return Text("\n").join(lines)


def _line_printer(console: Console, row: Row) -> Callable[[JobState], None]:
    def tell(state: JobState) -> None:
        before = row.state
        row.move(state)
        if before is None or (before.status, before.progress) != (state.status, state.progress):
            console.print(_line(row, state), soft_wrap=True)

    return tell


def _line(row: Row, state: JobState) -> Text:
    done = f"{state.progress.current} of {state.progress.total}"
    job = Text.assemble(readable(row.order.name), f": {row.order.job_type}: ")
    return Text.assemble(job, row.status, f", {done} done, ", readable(state.progress.message))
