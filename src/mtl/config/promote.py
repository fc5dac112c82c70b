"""The section ``promote``."""

from mtl.config.base import Name, Section, Share


class Promote(Section):
    """When a newly trained model replaces the promoted one: no task may fall, and one must gain, or drift was found."""

    margin: Share = 0.01
    """How much the main metric of a task may fall, in its own unit: the corrected interval of the difference must lie above minus this."""
    margins: dict[Name, Share] = {}
    """Margins of single tasks, by name."""

    drift: str | None = None
    """File with the results of ``mtl drift --json``; with drift, no task needs to gain."""

    def of(self, task: str) -> float:
        """The margin of a task."""
        return self.margins.get(task, self.margin)
