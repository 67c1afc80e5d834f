"""Shows the progress of a run."""

from datetime import timedelta

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.text import Text


class RateColumn(ProgressColumn):
    """Shows how many submissions an hour are graded, and the time left."""

    def render(self, task: Task) -> Text:
        """Takes the rate from the whole run: submissions end in bursts."""
        if not task.completed or task.elapsed is None or task.remaining is None:
            return Text("")
        seconds = task.elapsed / task.completed
        left = timedelta(seconds=round(seconds * task.remaining))
        return Text(f"{3600 / seconds:.0f} an hour, {left} left")


def show_progress() -> Progress:
    """Returns a progress bar with the rate and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
    )
