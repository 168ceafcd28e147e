"""Speed beside a plain transcription: separate query, key and value layers, explicit softmax, kernel-1 convolutions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_itransformer.models import ITransformer

# name: (batch, variates, marks, seq_len, pred_len, d_model, d_ff, layers)
SIZES = {
    "etth1-96": (32, 7, 4, 96, 96, 256, 256, 2),
    "etth1-720": (32, 7, 4, 96, 720, 512, 512, 2),
    "weather-96": (32, 21, 4, 96, 96, 512, 512, 3),
    "ecl-96": (4, 321, 4, 96, 96, 512, 512, 3),
}


class PlainLayer(nn.Module):
    """One encoder layer as the equations stand."""

    def __init__(self, d_model: int, d_ff: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(d_model, d_model) for _ in range(4))
        self.conv1, self.conv2 = nn.Conv1d(d_model, d_ff, 1), nn.Conv1d(d_ff, d_model, 1)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = (f(x).view(batch, tokens, self.heads, -1) for f in (self.query, self.key, self.value))
        scores = torch.einsum("blhe,bshe->bhls", q, k)
        weights = self.dropout(torch.softmax((width // self.heads) ** -0.5 * scores, dim=-1))
        mixed = torch.einsum("bhls,bshd->blhd", weights, v).reshape(batch, tokens, -1)
        x = self.norm1(x + self.dropout(self.out(mixed)))
        y = self.dropout(F.gelu(self.conv1(x.transpose(-1, 1))))
        return self.norm2(x + self.dropout(self.conv2(y).transpose(-1, 1)))


class Plain(nn.Module):
    """The model as the equations stand."""

    def __init__(self, seq_len: int, pred_len: int, d_model: int, d_ff: int, layers: int, dropout: float = 0.1):
        super().__init__()
        self.embedding = nn.Linear(seq_len, d_model)
        self.layers = nn.Sequential(*(PlainLayer(d_model, d_ff, 8, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, pred_len)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, marks: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True).detach()
        x = x - mean
        deviation = torch.sqrt(torch.var(x, dim=1, keepdim=True, unbiased=False) + 1e-5)
        x = x / deviation
        tokens = self.dropout(self.embedding(torch.cat([x.permute(0, 2, 1), marks.permute(0, 2, 1)], 1)))
        forecast = self.head(self.norm(self.layers(tokens))).permute(0, 2, 1)[:, :, : x.shape[2]]
        return forecast * deviation + mean


def forward(model: nn.Module, *batch: Tensor) -> Tensor:
    """Run a model without gradients."""
    with torch.no_grad():
        return model(*batch)


def step(model: nn.Module, *batch: Tensor, targets: Tensor) -> None:
    """Run a model forward and backward."""
    model.zero_grad()
    F.mse_loss(model(*batch), targets).backward()


def cases() -> dict[str, tuple[Callable, Callable]]:
    """Return the pairs to measure: for each size the forecast and the training step."""
    pairs = {}
    for name, (batch, variates, marks, seq_len, pred_len, d_model, d_ff, layers) in SIZES.items():
        torch.manual_seed(0)
        data = torch.randn(batch, seq_len, variates), torch.rand(batch, seq_len, marks) - 0.5
        targets = torch.randn(batch, pred_len, variates)
        for kind, run in (("training step", partial(step, targets=targets)), ("forecast", forward)):
            training = kind == "training step"
            ours = ITransformer(seq_len, pred_len, d_model, 8, layers, d_ff).train(training)
            plain = Plain(seq_len, pred_len, d_model, d_ff, layers).train(training)
            pairs[f"{name}: {kind}"] = (partial(run, ours, *data), partial(run, plain, *data))
    return pairs
