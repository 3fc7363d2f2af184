"""The demo's jobs as they run: a live table on a terminal, a line for each change elsewhere."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic

from attrs import define, field
from rich.console import Console
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
BAR_CELLS = 16
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
    def status(self) -> str:
        """Where the job stands, in a few words."""
        if self.state is None:
            return "sending"
        attempts = self.state.attempts_made
        return f"{self.state.status} (attempt {attempts})" if attempts > 1 else str(self.state.status)


@define
class Board:
    """All jobs, as a table for rich."""

    rows: Sequence[Row]

    def __rich__(self) -> Table:
        table = Table("file", "job", "status", "operations", "done", "time", title_justify="left")
        for row in self.rows:
            progress = row.state.progress if row.state else Progress()
            table.add_row(
                readable(row.order.name),
                row.order.job_type,
                Text(row.status, STYLES.get(row.state.status, "") if row.state else ""),
                _operations(progress),
                ProgressBar(max(progress.total, 1), progress.current, width=BAR_CELLS),
                f"{row.seconds:.1f} s",
            )
        return table


@contextmanager
def showing(console: Console, orders: Sequence[Order]) -> Iterator[Sequence[Callable[[JobState], None]]]:
    """Show jobs while they run.

    Yields:
        For each job a function that is to be told what is seen of it.
    """
    rows = [Row(order) for order in orders]
    if not console.is_terminal:
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
            console.print(_line(row, state))

    return tell


def _line(row: Row, state: JobState) -> Text:
    done = f"{state.progress.current}/{state.progress.total}"
    message = readable(state.progress.message)
    return Text.assemble(
        f"{row.seconds:5.1f} s  ",
        readable(row.order.name),
        f"  {row.order.job_type}  {row.status}  {done}  ",
        message,
    )
