"""The official training loop, written down plainly from its description: what the benchmarks measure ours against.

A window at a time through a DataLoader, separate query, key and value layers, softmax and dropout as the equations
stand, kernel-1 convolutions, a test pass with batches of one after every epoch (thuml/iTransformer @ c2426e6: run.py,
experiments/exp_long_term_forecasting.py, data_provider/data_loader.py). Nothing of ours is imported.

    python plain_official.py ETTh1.csv FOLDER

trains the row ETTh1, 96 steps in and 96 out, and prints its epochs and errors as one line of JSON.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

SEQ_LEN, LABEL_LEN, PRED_LEN = 96, 48, 96
D_MODEL, D_FF, LAYERS = 256, 256, 2
BATCH, EPOCHS, PATIENCE, RATE, SEED = 32, 10, 3, 1e-4, 2023
MONTH = 30 * 24
SPLITS = {
    "train": (0, 12 * MONTH),
    "val": (12 * MONTH - SEQ_LEN, 16 * MONTH),
    "test": (16 * MONTH - SEQ_LEN, 20 * MONTH),
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


class Windows(Dataset):
    """The windows of a split, one at a time: history, decoder's part, and the time features of both."""

    def __init__(self, values: np.ndarray, marks: np.ndarray):
        self.values, self.marks = values, marks

    def __len__(self) -> int:
        return len(self.values) - SEQ_LEN - PRED_LEN + 1

    def __getitem__(self, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        stop = start + SEQ_LEN
        known, asked = slice(start, stop), slice(stop - LABEL_LEN, stop + PRED_LEN)
        return self.values[known], self.values[asked], self.marks[known], self.marks[asked]


def read(path: Path) -> dict[str, Windows]:
    """Read an ETT file with hourly rows and return its splits, scaled by the training rows."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    _, *rows = csv.reader(text.decode("utf-8").splitlines())
    dates = [datetime.fromisoformat(row[0]) for row in rows]
    values = np.array([[float(value) for value in row[1:]] for row in rows])
    train = values[slice(*SPLITS["train"])]
    values = (values - train.mean(0)) / train.std(0)
    marks = np.array(
        [
            (d.hour / 23 - 0.5, d.weekday() / 6 - 0.5, (d.day - 1) / 30 - 0.5, (d.timetuple().tm_yday - 1) / 365 - 0.5)
            for d in dates
        ]
    )
    return {name: Windows(values[start:stop], marks[start:stop]) for name, (start, stop) in SPLITS.items()}


def forecast(model: nn.Module, batch: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return forecast and truth of a batch; the decoder's input is built as in the official loop, and not used."""
    x, y, x_marks, y_marks = (part.float() for part in batch)
    torch.cat([y[:, :LABEL_LEN], torch.zeros_like(y[:, -PRED_LEN:])], dim=1), y_marks
    return model(x, x_marks), y[:, -PRED_LEN:]


def validate(model: nn.Module, loader: DataLoader) -> float:
    """Return the mean of the batches' losses."""
    model.eval()
    with torch.no_grad():
        losses = [F.mse_loss(*(part.detach() for part in forecast(model, batch))).item() for batch in loader]
    model.train()
    return float(np.average(losses))


def test(model: nn.Module, loader: DataLoader) -> tuple[float, float]:
    """Return MSE and MAE over all forecasts, which are collected first."""
    model.eval()
    forecasts, truths = [], []
    with torch.no_grad():
        for batch in loader:
            mine, truth = forecast(model, batch)
            forecasts.append(mine.detach().numpy())
            truths.append(truth.detach().numpy())
    error = np.concatenate(forecasts) - np.concatenate(truths)
    return float(np.mean(error**2)), float(np.mean(np.abs(error)))


def train(splits: dict[str, Windows], folder: Path) -> dict[str, float]:
    """Train until the validation error has not improved for some epochs, and test the best epoch."""
    model = Plain(SEQ_LEN, PRED_LEN, D_MODEL, D_FF, LAYERS)
    batches = DataLoader(splits["train"], BATCH, shuffle=True, drop_last=True)
    val = DataLoader(splits["val"], BATCH, shuffle=True, drop_last=True)
    single = DataLoader(splits["test"], 1, shuffle=False, drop_last=True)
    adam = torch.optim.Adam(model.parameters(), lr=RATE)
    best, since_best, file = float("inf"), 0, folder / "checkpoint.pth"
    for epoch in range(1, EPOCHS + 1):
        losses = []
        for batch in batches:
            adam.zero_grad()
            loss = F.mse_loss(*forecast(model, batch))
            losses.append(loss.item())
            loss.backward()
            adam.step()
        found = validate(model, val)
        tested = validate(model, single)
        sys.stdout.write(f"epoch {epoch}: train {np.average(losses):.7f} val {found:.7f} test {tested:.7f}\n")
        if found <= best:
            best, since_best = found, 0
            torch.save(model.state_dict(), file)
        else:
            since_best += 1
        if since_best == PATIENCE:
            break
        adam.param_groups[0]["lr"] = RATE * 0.5 ** (epoch - 1)
    model.load_state_dict(torch.load(file))
    mse, mae = test(model, single)
    return {"epochs": epoch, "mse": mse, "mae": mae}


if __name__ == "__main__":
    random.seed(SEED)
    torch.manual_seed(SEED)
    sys.stdout.write(json.dumps(train(read(Path(sys.argv[1])), Path(sys.argv[2]))) + "\n")
