"""The error tree: what went wrong, in plain words, and what may follow from it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal


class MediaqError(Exception):
    """Base of every error that mediaq raises on purpose; its text is meant to be read by people."""


def reason_of(error: BaseException) -> str:
    """Returns an error's text; what it is called, where it has none."""
    return str(error) or type(error).__name__


class SettingsError(MediaqError):
    """A setting is unknown or bad; names the file or variable, the key and the reason."""


class UnreadableMedia(MediaqError):
    """A media file is not what it should be: corrupt, cut short, empty or of another kind."""


class MigrationError(MediaqError):
    """The database's schema and this version's migrations do not belong together."""


class FenceLost(MediaqError):
    """Another worker has started this job since, or it is closed: this one must start no further call for it.

    Args:
        job_id: The job.
    """

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} is another worker's now, or is closed or deleted")


class OnRecord(MediaqError):
    """The result of an operation or of its part is on record: an earlier owner's call was answered late.

    Args:
        operation: The operation that it is of.
        result: The result.
        part: The part that it is of; empty: it is the whole one.
    """

    def __init__(self, operation: str, result: object, part: str = "") -> None:
        super().__init__(f"the result of {operation} is on record")
        self.operation = operation
        self.result = result
        self.part = part


class ProviderError(MediaqError):
    """A provider (AWS, OpenAI) did not do what was asked; the subclass says what follows.

    Args:
        reason: What happened, in words for the user.
        code: The provider's own error code, or the name of the exception.
    """

    def __init__(self, reason: str, code: str) -> None:
        super().__init__(reason)
        self.code = code


class TryAgain(ProviderError):
    """Refused for now and not billed (5xx, say): the same call may succeed in a moment."""


class Throttled(TryAgain):
    """Refused for now as one call too many, and not billed: all who make such calls should slow down.

    Args:
        reason: What happened, in words for the user.
        code: The provider's own error code.
        limit: What it was too many for, `rekognition.DetectLabels` say.
    """

    def __init__(self, reason: str, code: str, limit: str) -> None:
        super().__init__(reason, code)
        self.limit = limit


class Unreachable(TryAgain):
    """The provider cannot be reached: the call was never sent."""


class Unanswered(TryAgain):
    """The call was sent and no answer came back: it may succeed when repeated, and may be billed twice."""


class ProviderJobFailed(TryAgain):
    """The provider reports that its asynchronous job failed for a reason of its own: start another."""


class NoRoom(ProviderError):
    """The provider runs as many asynchronous jobs for this account as it allows: wait for room."""


class StaleToken(ProviderError):
    """The token of a page is no longer good: read the pages again from the first."""


class Refused(ProviderError):
    """The provider will never accept this call (a bad image, no such object): do not repeat it."""


class ProviderJobRefused(Refused):
    """The provider reports that its asynchronous job failed for a reason that another would meet too."""


class JobFailed(MediaqError):
    """An attempt at a job failed; the text names each failed operation and why.

    Args:
        reason: Each failed operation and why, in words for the user.
        attempts_left: How many more attempts the job has; 0 when it failed for good.
        delay: Seconds until the next one.
    """

    def __init__(self, reason: str, attempts_left: int, delay: int | None = None) -> None:
        super().__init__(reason)
        self.attempts_left = attempts_left
        self.delay = delay


class NotYours(MediaqError):
    """A media item belongs to another user.

    Args:
        media_item: The item.
    """

    def __init__(self, media_item: str) -> None:
        super().__init__(f"media item {media_item} belongs to another user")


class NotAdmitted(MediaqError):
    """A request asks for what the settings do not allow.

    Args:
        field: Where in the request it does, `models[0].model` say.
        reason: What is not allowed, and by which setting.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field


class KeyTaken(MediaqError):
    """The idempotency key was used for another request within the last day."""


class OverBudget(MediaqError):
    """A job may cost more than a budget leaves: it is not accepted, or goes no further.

    Args:
        whose: Whose budget it is: `user` or `costCenter`.
        name: Which one's.
        month: The first day of the month (UTC) that it is for.
        budget: The cap, in US dollars.
        spent: What was billed, or possibly billed, in that month.
        reserved: What other open jobs may still cost.
        estimate: What the job may still cost.
    """

    def __init__(
        self,
        *,
        whose: str,
        name: str,
        month: date,
        budget: Decimal,
        spent: Decimal,
        reserved: Decimal,
        estimate: Decimal,
    ) -> None:
        kind = {"user": "user", "costCenter": "cost center"}[whose]
        super().__init__(
            f"the budget of {kind} {name} for {month:%Y-%m} is {_plain(budget)}: {_plain(spent)} is spent, "
            f"open jobs may cost {_plain(reserved)}, and this one {_plain(estimate)}"
        )
        self.whose = whose
        self.name = name
        self.month = month
        self.budget = budget
        self.spent = spent
        self.reserved = reserved
        self.estimate = estimate


def _plain(amount: Decimal) -> str:
    return f"${amount.normalize():f}"


class TooManyOpen(MediaqError):
    """The user has as many open jobs as they may have."""


class CommitUnknown(MediaqError):
    """Postgres went away at a commit: what was to be written may be on record or not."""


class DependencyAway(MediaqError):
    """A server that mediaq needs stayed away for too long: the attempt is not used up."""


class Undelivered(MediaqError):
    """A message did not reach its receiver, or was not taken; it may be sent again."""
