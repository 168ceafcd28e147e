"""What comes out of a forecast: the steps that follow a history, in original units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Forecast:
    """A forecast of one series, in original units.

    Tables have one row per time step, indexed by date (or by row number where the input has no dates), and one column
    per variate.

    Attributes:
        values: the forecast (S, V).
        history: the window that it was made from (T, V).
        truth: what really followed, as far as the input holds it (at most S rows); None if nothing did.
        tokens: names of the variates and, after them, of the covariates.
        attention: weights (e_layers, h, N, N) between the tokens, row attends to column; None unless asked for.
    """

    values: pd.DataFrame
    history: pd.DataFrame
    truth: pd.DataFrame | None
    tokens: tuple[str, ...]
    attention: np.ndarray | None = None

    def errors(self) -> dict[str, float]:
        """Return ``mse`` and ``mae`` against the known truth, beside those of repeating the last value.

        Raises:
            ValueError: the truth is not known.
        """
        if self.truth is None:
            raise ValueError(
                "nothing follows the history: pass start= to forecast a stretch that the input already holds"
            )
        truth = self.truth.to_numpy()
        last = self.history[self.truth.columns].to_numpy()[-1:]  # with features='MS' the truth is the target alone
        trials = {"": self.values.to_numpy()[: len(truth)], "baseline_": last}
        errors = {}
        for name, trial in trials.items():
            errors[f"{name}mse"] = float(np.mean((trial - truth) ** 2))
            errors[f"{name}mae"] = float(np.mean(np.abs(trial - truth)))
        return errors
