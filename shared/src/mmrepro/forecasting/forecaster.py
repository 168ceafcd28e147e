"""What the models over time tokens share: checks, the decoder's input, variates one by one, loss and prediction."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

MARKS_PAIRINGS = ("reference", "fixed")


class TemporalForecaster(BaseModel, ABC):
    """Forecast ``pred_len`` steps of a fixed number of series from their last ``seq_len`` steps.

    The time features of the steps to forecast are known ahead, and these models read them: their data sets set
    ``future_marks=True``.

    Args:
        seq_len: length of the window that is read.
        pred_len: number of steps to forecast.
        label_len: number of the window's last steps that begin the decoder's input.
        enc_in: number of variates that are read; 1 with ``channel_independence``.
        c_out: number of variates that come out.
        n_marks: number of time features of a step; 0 for none.
        features: ``M`` for all series in and out, ``S`` for the target alone, ``MS`` for all in and only the last out.
        channel_independence: forecast each variate by itself with the same weights; their number is free then.
        marks_pairing: what variates get for time features with ``channel_independence``: ``fixed`` for their own
            window's, ``reference`` for those of another window of the batch in training, as in the official code. In
            evaluation they always get their own: the official code tests with one window per batch, where it does too.
            It validates with several, so a validation loss here differs from its own.
        settings: the arguments that a checkpoint must agree with.
        data_preprocessor, init_cfg: as in every mmengine model.

    Attributes:
        has_maps: False: attention between time steps says nothing of the variates, so there are no maps to ask for.

    Raises:
        ValueError: an option has no meaning, or two do not go together.
    """

    has_maps = False

    def __init__(
        self,
        seq_len: int,
        pred_len: int,
        label_len: int,
        enc_in: int,
        c_out: int,
        n_marks: int,
        features: str,
        channel_independence: bool,
        marks_pairing: str,
        settings: dict,
        data_preprocessor: dict | None,
        init_cfg: dict | None,
    ):
        super().__init__(data_preprocessor, init_cfg)
        if features not in ("M", "S", "MS"):
            raise ValueError(f"features={features!r} is not one of 'M', 'S', 'MS'")
        if marks_pairing not in MARKS_PAIRINGS:
            raise ValueError(f"marks_pairing={marks_pairing!r} is not one of {MARKS_PAIRINGS}")
        if not 0 <= label_len <= seq_len:
            raise ValueError(
                f"label_len={label_len} steps of the window begin the decoder's input, but the window has "
                f"seq_len={seq_len}. Fix: set label_len to {seq_len} at most"
            )
        if channel_independence and (enc_in, c_out) != (1, 1):
            raise ValueError(
                f"with channel_independence the model sees one variate at a time, but enc_in={enc_in} and "
                f"c_out={c_out}. Fix: set both to 1"
            )
        self.seq_len = seq_len
        self.pred_len = pred_len
        self.label_len = label_len
        self.enc_in = enc_in
        self.n_marks = n_marks
        self.features = features
        self.channel_independence = channel_independence
        self.marks_pairing = marks_pairing
        self.settings = {
            "seq_len": seq_len,
            "pred_len": pred_len,
            "enc_in": enc_in,
            "c_out": c_out,
            "n_marks": n_marks,
            "features": features,
            "channel_independence": bool(channel_independence),
            **settings,
        }

    @abstractmethod
    def decode(
        self, inputs: Tensor, marks: Tensor | None, placeholder: Tensor, placeholder_marks: Tensor | None
    ) -> Tensor:
        """Return the forecast (B, S, V) for windows whose checks are done and whose decoder input is made.

        Args:
            inputs: the windows (B, T, V).
            marks: their time features (B, T, M), or None.
            placeholder: the last ``label_len`` steps of the windows, then zeros (B, label_len + S, V).
            placeholder_marks: the time features of these steps (B, label_len + S, M), or None.
        """

    def forward(
        self,
        inputs: Tensor,
        marks: Tensor | None = None,
        targets: Tensor | None = None,
        mode: str = "tensor",
        future_marks: Tensor | None = None,
        with_attention: bool = False,
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Tensor]]:
        """Do what ``mode`` says with a batch of scaled windows.

        Args:
            inputs: the windows (B, T, V).
            marks: time features of the same steps (B, T, M). Needed unless ``n_marks`` is 0.
            targets: what followed (B, S, V), or (B, S, 1) with ``features='MS'``. Needed by ``loss``.
            mode: ``tensor``, ``loss`` or ``predict``.
            future_marks: time features of the steps to forecast (B, S, M). Needed where ``marks`` are given.
            with_attention: not possible here; a map between variates does not exist.

        Returns:
            ``tensor``: the forecast (B, S, V). ``loss``: a dict with ``loss_mse``. ``predict``: see :meth:`predict`.

        Raises:
            ValueError: shapes do not fit the model, time features or targets are missing, attention maps are asked for.
        """
        self._check(inputs, marks, targets, future_marks)
        if with_attention:
            raise ValueError(
                f"{type(self).__name__} has no attention between variates, so there are no maps. "
                "Fix: set with_attention=False"
            )
        if mode == "tensor":
            return self._forward(inputs, marks, future_marks)
        if mode == "loss":
            return self.loss(inputs, marks, targets, future_marks)
        if mode == "predict":
            return self.predict(inputs, marks, targets, future_marks)
        raise ValueError(f"mode={mode!r} is not one of 'tensor', 'loss', 'predict'")

    def loss(
        self, inputs: Tensor, marks: Tensor | None, targets: Tensor | None, future_marks: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the mean squared error over windows, steps and variates, in scaled units.

        Raises:
            ValueError: there are no targets, or they have another number of variates than the forecast.
        """
        if targets is None:
            raise ValueError("the loss compares with targets, but the batch has none: give the data set's targets")
        forecast = self._forward(inputs, marks, future_marks)
        if forecast.shape != targets.shape:  # mse_loss would only warn, and broadcast
            raise ValueError(
                f"with features={self.features!r} the forecast has shape {tuple(forecast.shape)} (batch, steps, "
                f"variates), the targets have shape {tuple(targets.shape)}: give model and data set the same features"
            )
        return {"loss_mse": F.mse_loss(forecast.to(targets.dtype), targets)}

    def predict(
        self,
        inputs: Tensor,
        marks: Tensor | None = None,
        targets: Tensor | None = None,
        future_marks: Tensor | None = None,
    ) -> list[dict[str, Tensor]]:
        """Return one dict per window.

        Its keys: ``forecast`` (S, V); ``last`` (V,), the last observed values, which the trivial forecast repeats;
        ``target`` (S, V) where targets are given.
        """
        fields = {"forecast": self._forward(inputs, marks, future_marks), "last": self._outputs_of(inputs)[:, -1]}
        if targets is not None:
            fields["target"] = targets
        return [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]

    def _forward(self, inputs: Tensor, marks: Tensor | None, future_marks: Tensor | None) -> Tensor:
        """Return the forecast (B, S, V) of the variates that are asked for."""
        batch, _, variates = inputs.shape
        if self.channel_independence:
            # (B, T, V) -> (B*V, T, 1), the variates of a window next to each other
            inputs = inputs.transpose(1, 2).flatten(0, 1).unsqueeze(-1)
            marks, future_marks = (self._for_each_variate(m, variates) for m in (marks, future_marks))
        known = self.seq_len - self.label_len
        placeholder = F.pad(inputs[:, known:], (0, 0, 0, self.pred_len))
        placeholder_marks = None if marks is None else torch.cat([marks[:, known:], future_marks], dim=1)
        forecast = self.decode(inputs, marks, placeholder, placeholder_marks)
        if self.channel_independence:
            # (B*V, S, 1) -> (B, S, V)
            forecast = forecast.reshape(batch, variates, self.pred_len).transpose(1, 2)
        return self._outputs_of(forecast)

    def _for_each_variate(self, marks: Tensor | None, variates: int) -> Tensor | None:
        """Repeat the time features (B, T, M) of each window for its variates (B*V, T, M)."""
        if marks is None:
            return None
        if self.marks_pairing == "fixed" or not self.training:
            return marks.repeat_interleave(variates, 0)
        # The official code repeats the batch instead of each window, so that windows get each other's time features.
        # Its tests have one window per batch, where the two are the same: a forecast depends on no other window.
        return marks.repeat(variates, 1, 1)

    def _outputs_of(self, series: Tensor) -> Tensor:
        """Return the variates of ``series`` (B, T, V) that the model is asked to forecast."""
        return series[..., -1:] if self.features == "MS" else series

    def _check(self, inputs: Tensor, marks: Tensor | None, targets: Tensor | None, future_marks: Tensor | None) -> None:
        """Compare the shapes of a batch with the model's."""
        if inputs.ndim != 3 or inputs.shape[1] != self.seq_len:
            raise ValueError(
                f"the model reads windows of seq_len={self.seq_len} steps, inputs have shape {tuple(inputs.shape)} "
                "(batch, steps, variates): give model and data set the same seq_len"
            )
        if not self.channel_independence and inputs.shape[2] != self.enc_in:
            raise ValueError(
                f"the model reads enc_in={self.enc_in} variates, inputs have {inputs.shape[2]}: set model.enc_in to "
                "the data set's number of variates"
            )
        if targets is not None and targets.shape[1] != self.pred_len:
            raise ValueError(
                f"the model forecasts pred_len={self.pred_len} steps, targets have {targets.shape[1]}: "
                "give model and data set the same pred_len"
            )
        if (marks is None) != (future_marks is None):
            given, missing = ("marks", "future_marks") if future_marks is None else ("future_marks", "marks")
            raise ValueError(
                f"{given} are given without {missing}, but the model reads both. Fix: set future_marks=True in the "
                "data sets"
            )
        if marks is None and self.n_marks:
            raise ValueError(
                f"the model reads n_marks={self.n_marks} time features of each step, but there are no marks. "
                "Fix: set model.n_marks=0 or the data sets' time_features"
            )
        for name, given, steps in (("marks", marks, self.seq_len), ("future_marks", future_marks, self.pred_len)):
            if given is not None and given.shape[1:] != (steps, self.n_marks):
                raise ValueError(
                    f"{name} have shape {tuple(given.shape)} (batch, steps, time features), the model reads {steps} "
                    f"steps and n_marks={self.n_marks}: set model.n_marks and the data sets' time_features and freq "
                    "so that they agree"
                )
