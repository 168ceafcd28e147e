"""Measures without those of what does not exist, for metrics of generated pictures."""

from __future__ import annotations


class ExistingMeasures:
    """Makes a COCO metric leave out the measures of sizes that no object has: they are -1, which nothing can beat.

    To be put before a metric among the bases of a class.
    """

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the metric's values but for those that are -1."""
        return {name: value for name, value in super().compute_metrics(results).items() if value != -1}
