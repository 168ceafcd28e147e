"""Forecasts from a file, a table or an array, in original units, with dates, tables and drawings."""

from __future__ import annotations

import copy
import inspect
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from mmengine.config import Config
from mmengine.infer import BaseInferencer
from mmengine.registry import DATASETS, INFERENCERS

from mm_itransformer.checkpoint import load_strictly, meta_of, require_same_time_features
from mm_itransformer.forecasting import Forecast
from mmrepro import papers
from mmrepro.datasets.missing_values import fill_missing
from mmrepro.datasets.series import Series
from mmrepro.forecasting.history import choose_scaler, first_row, forecast_rows, rows_of, time_marks, to_series
from mmrepro.safe_loading import source_of

READING = ("date_column", "date_format", "encoding")


@INFERENCERS.register_module()
class ITransformerInferencer(BaseInferencer):
    """Forecast beyond the end of a series, or from a row inside it.

    Example:
        >>> config = "itransformer_e2-d256_1xb32-10e_etth1-96to96"
        >>> inferencer = ITransformerInferencer(config, f"work_dirs/{config}/best_mse_epoch_7.pth")
        >>> forecast = inferencer("ETTh1.csv", out_dir="out")["predictions"][0]
        >>> forecast.values  # a DataFrame: 96 further hours of each column

    The checkpoint says which columns it was trained on, how they were scaled and whether it saw time features. An
    official ``checkpoint.pth`` says nothing of this: the config's time features hold then, and the history is scaled
    by itself.

    Args:
        model: a config: the name of one of this package's, a path, or a ``Config``.
        weights: a checkpoint: ours, an official ``checkpoint.pth``, or safetensors; a path or a URL.
        device: such as ``cuda:0``; None for what is there.
        dataset_meta: what is known about the training data (``columns``, ``mean``, ``std``, ``freq``,
            ``time_features``); it goes before what the checkpoint says.
        show_progress: draw a progress bar over the inputs.

    Raises:
        FileNotFoundError: the config or the checkpoint does not exist.
        CheckpointMismatchError: the checkpoint belongs to another model than the config's.
        ValueError: the config or the checkpoint is of a task's model, which does not forecast.
    """

    preprocess_kwargs: ClassVar[set[str]] = {"start", "freq", "date_column", "date_format", "encoding", "fit_scaler"}
    forward_kwargs: ClassVar[set[str]] = {"with_attention"}
    visualize_kwargs: ClassVar[set[str]] = {"out_dir", "columns"}
    postprocess_kwargs: ClassVar[set[str]] = set()

    def __init__(
        self,
        model: str | Path | Config,
        weights: str | Path,
        device: str | None = None,
        dataset_meta: dict | None = None,
        show_progress: bool = False,
    ):
        config = model if isinstance(model, Config) else Config.fromfile(papers.find_config("itransformer", model))
        self._given_meta = dict(dataset_meta or {})
        self.dataset_meta: dict = {}
        self._reading: dict = {}
        super().__init__(copy.deepcopy(config), str(weights), device, scope="mmengine", show_progress=show_progress)

    def __call__(self, inputs: Any, out_dir: str | Path | None = None, **kwargs) -> dict:
        """Forecast one series, or each of a list of series.

        Args:
            inputs: path of a CSV file, a DataFrame (dates as index or in a column ``date``), an array (T, V), or a list
                of those.
            out_dir: write ``<name>_forecast.csv``, ``<name>_forecast.png`` and ``<name>_attention.png`` there. The
                name is the input file's without ``.csv`` or ``.csv.gz``; a second one of the same name becomes
                ``<name>_2``.
            start: row (negative from the end) or date where the forecast begins; by default after the last row.
                The rows from there on are the truth to compare with.
            freq: step of the dates beyond the input; by default what the input's dates say.
            with_attention: keep the attention maps in the result, and draw them into ``out_dir``; by default where the
                model has maps.
            columns: names of the variates to draw.
            fit_scaler: scale by mean and deviation of the input's own rows before the forecast: for series that the
                model was not trained on.
            date_column, date_format, encoding: how to read a CSV file; by default as the config's data set.

        Returns:
            ``predictions``: a list of :class:`Forecast`; ``visualization``: a list of the files written for each.
        """
        return super().__call__(inputs, out_dir=out_dir, **kwargs)

    def preprocess(
        self,
        inputs: list,
        batch_size: int = 1,
        start: int | str | pd.Timestamp | None = None,
        freq: str | None = None,
        fit_scaler: bool = False,
        **reading,
    ) -> Iterator[dict]:
        """Yield for each input what :meth:`forward` needs; inputs may differ in their number of variates."""
        for source in inputs:
            series = to_series(source, self.dataset_meta.get("columns"), **(self._reading | reading))
            series = fill_missing(series, self.dataset_meta.get("missing_values", ()))
            row = first_row(series, start, self.model.seq_len, freq)
            series, mean, std = choose_scaler(series, self.dataset_meta, fit_scaler, row)
            yield {
                "series": series,
                "mean": mean,
                "std": std,
                "row": row,
                "freq": freq,
            }

    @torch.no_grad()
    def forward(self, inputs: dict, with_attention: bool | None = None) -> list[Forecast]:
        """Return the forecast of one preprocessed input, in a list.

        Raises:
            ValueError: attention maps are asked of a model that has none.
        """
        series, mean, std, row = inputs["series"], inputs["mean"], inputs["std"], inputs["row"]
        if with_attention is None:
            with_attention = self.model.has_maps
        past = slice(row - self.model.seq_len, row)
        known = rows_of(series, past)
        index = forecast_rows(series, row, self.model.pred_len, self.model.seq_len, inputs["freq"])
        marks, mark_names = self._marks(series, known)
        batch = {"inputs": torch.from_numpy(((series.values[past] - mean) / std).astype(np.float32))[None]}
        if marks is not None:
            batch["marks"] = torch.from_numpy(marks)[None]
            if "future_marks" in inspect.signature(self.model.forward).parameters:
                future_marks, _ = self._marks(series, index)
                batch["future_marks"] = torch.from_numpy(future_marks)[None]
        batch = self.model.data_preprocessor(batch, False)
        sample = self.model(**batch, mode="predict", with_attention=with_attention)[0]

        outputs = slice(-1, None) if self.model.features == "MS" else slice(None)
        values = sample["forecast"].double().cpu().numpy() * std[outputs] + mean[outputs]
        columns = list(series.columns)
        truth = series.values[row : row + self.model.pred_len, outputs]
        return [
            Forecast(
                values=pd.DataFrame(values, index, columns[outputs]),
                history=pd.DataFrame(series.values[past], known, columns),
                truth=pd.DataFrame(truth, index[: len(truth)], columns[outputs]) if len(truth) else None,
                tokens=(*columns, *mark_names),
                attention=sample["attention"].float().cpu().numpy() if with_attention else None,
            )
        ]

    def visualize(
        self,
        inputs: list,
        preds: list[Forecast],
        out_dir: str | Path | None = None,
        columns: Sequence[str] | None = None,
    ) -> list[list[Path]]:
        """Write the table and the drawings of each forecast into ``out_dir`` and return their paths."""
        if out_dir is None:
            return [[] for _ in preds]
        from mm_itransformer.visualization import draw_attention, draw_forecast  # matplotlib costs half a second

        written = []
        for stem, forecast in zip(_file_stems(inputs), preds, strict=True):
            table = Path(out_dir) / f"{stem}_forecast.csv"
            table.parent.mkdir(parents=True, exist_ok=True)
            forecast.values.to_csv(table, index_label=forecast.values.index.name)
            files = [table, draw_forecast(forecast, table.with_suffix(".png"), columns)]
            if forecast.attention is not None:
                files.append(draw_attention(forecast, table.with_name(f"{stem}_attention.png")))
            written.append(files)
        return written

    def postprocess(
        self, preds: list[Forecast], visualization: list[list[Path]], return_datasamples: bool = False
    ) -> dict:
        """Pack forecasts and files."""
        return {"predictions": preds, "visualization": visualization}

    def _marks(self, series: Series, dates: pd.Index) -> tuple[np.ndarray | None, tuple[str, ...]]:
        """Return the time features (T, M) of dates that the model was trained with, and their names."""
        meta = {"time_features": True, "freq": "h", "quarter_hours": False} | self.dataset_meta
        return time_marks(series, dates, meta) if meta["time_features"] else (None, ())

    def _load_weights_to_model(self, model: torch.nn.Module, checkpoint: dict | None, cfg: Config) -> None:
        """Load strictly, converting an official file, and remember what it says about its training data."""
        for source, settings in (
            ("the config", model.settings),
            (source_of(checkpoint), meta_of(checkpoint).get("model", {})),
        ):
            if "task" in settings:
                raise ValueError(
                    f"{source} holds a model of task {settings['task']!r}, which does not forecast. "
                    "Fix: give config and checkpoint of a forecaster"
                )
        load_strictly(model, checkpoint)
        stored = meta_of(checkpoint).get("dataset_meta") or {}
        dataset = cfg.get("test_dataloader", {}).get("dataset", {})
        self._reading = {name: dataset[name] for name in READING if name in dataset}
        configured = _data_settings(dataset)
        require_same_time_features(stored, configured)
        self.dataset_meta = configured | stored | self._given_meta

    def _init_pipeline(self, cfg: Config) -> Callable:
        """Return how one input is read."""
        return to_series

    def _init_collate(self, cfg: Config) -> Callable:
        """Return what makes a batch: nothing, since series of several widths go one by one."""
        return list


def _data_settings(dataset: dict) -> dict:
    """Return ``time_features`` and ``freq`` of a data set's config, or the defaults that are its class's own."""
    cls = DATASETS.get(dataset["type"]) if "type" in dataset else None
    defaults = inspect.signature(cls).parameters if cls else {}
    names = ("time_features", "freq")
    own = {name: defaults[name].default for name in names if name in defaults}
    return own | {name: dataset[name] for name in names if name in dataset}


def _file_stems(inputs: list) -> list[str]:
    """Return a name for the files of each input, no two alike."""
    stems: list[str] = []
    for i, source in enumerate(inputs):
        name = f"series{i + 1}"
        if isinstance(source, (str, Path)):
            name = re.sub(r"\.csv(\.gz)?$", "", Path(source).name)
        numbered = (f"{name}_{n}" for n in itertools.count(2))
        stems.append(name if name not in stems else next(other for other in numbered if other not in stems))
    return stems
