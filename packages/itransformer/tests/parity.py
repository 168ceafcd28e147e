"""The parity adapter: what the official code computed in a case, computed by this package."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import HOOKS, PARAM_SCHEDULERS

import mm_itransformer  # noqa: F401  registers hooks and schedulers
from mm_itransformer.checkpoint import from_official, to_official
from mm_itransformer.models import ITransformer
from mmrepro.forecasting import ForecastMetric
from mmrepro.forecasting.errors import correlation, relative_squared_error
from mmrepro.testing.cases import cut

HERE = Path(__file__).resolve().parent
CONFIGS = HERE.parent / "configs" / "_base_"
ADAM_STEPS = 5
TEST_BATCH = 64  # windows of a forward pass over a real test split
# The official models with inverted tokens, and the attention that makes ours one of them
ATTENTIONS = {
    "model/iTransformer.py": "FullAttention",
    "model/iInformer.py": "ProbSparseAttention",
    "model/iReformer.py": "LSHAttention",
    "model/iFlowformer.py": "FlowAttention",
    "model/iFlashformer.py": "FlashAttention",
}
# Stored random draws by name, and the function of torch that makes them, in the official code and in ours
DRAWS = {"sample_index": "torch.randint", "rotations": "torch.randn"}


def run(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Compute what ``manifest["entry"]`` computes, by the case's names.

    Raises:
        ValueError: this package does not serve the case's kind, or not for its entry.
    """
    kind, entry = manifest["kind"], manifest.get("entry", "")
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is not served; served are {sorted(KINDS)}")
    function, entries = KINDS[kind]
    if not entry.startswith(entries):
        raise ValueError(f"kind {kind!r} is served for {entries}, not for {entry!r}")
    outputs = function(manifest, state, inputs)
    # These manifests keep their slices among the notes, where whoever compares does not look for them.
    slices = {} if "expected_slice" in manifest else manifest.get("notes", {}).get("expected_slice", {})
    return {name: cut(value, slices[name].lstrip("x")) if name in slices else value for name, value in outputs.items()}


def fragment(name: str) -> ModuleType:
    """Load a part of the adapter that lies beside this file, ``parity_<name>.py``."""
    spec = importlib.util.spec_from_file_location(f"mm_itransformer_parity_{name}", HERE / f"parity_{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(manifest: dict, state: dict[str, np.ndarray] | None = None) -> ITransformer:
    """Build our model from the official constructor arguments and load official weights into it."""
    config, file = manifest["config"], manifest["entry"].partition(":")[0]
    attention = {"type": ATTENTIONS.get(file, "FullAttention")}
    if attention["type"] == "ProbSparseAttention":
        attention["factor"] = config["factor"]
    lengths = {"seq_len": config["seq_len"], "pred_len": config["pred_len"]}
    widths = {key: config[key] for key in ("d_model", "n_heads", "e_layers", "d_ff", "dropout")}
    model = ITransformer(
        **lengths,
        **widths,
        activation="relu" if config["activation"] == "relu" else "gelu",  # as the official code reads it
        # Only the main model of thuml/iTransformer has the switch.
        use_norm=file != "model/iTransformer.py" or bool(config.get("use_norm", True)),
        attention=attention,
    )
    if state is not None:
        converted = from_official({key: torch.from_numpy(value) for key, value in state.items()})
        model.load_state_dict(converted, strict=True)
    return model


@contextmanager
def replayed(inputs: dict[str, np.ndarray], passes: int = 1) -> Iterator[None]:
    """Let torch draw what the case stores, call after call.

    Args:
        inputs: the case's.
        passes: how many forward passes there will be. The case stores the draws of all of them, or of one for each.

    Raises:
        ValueError: draws of another shape or number are asked for.
    """
    replays = []
    with ExitStack() as stack:
        for name, function in DRAWS.items():
            stored = [torch.from_numpy(inputs[f"{name}{i}"]) for i in range(len(inputs)) if f"{name}{i}" in inputs]
            if stored:
                replays.append(Replay(name, stored))
                stack.enter_context(mock.patch(function, replays[-1]))
        yield
    for replay in replays:
        replay.require_all_used(passes)


class Replay:
    """A function of torch that draws random numbers, with stored ones for answers.

    Args:
        name: what the case calls them.
        stored: the answers in the order of the calls.
    """

    def __init__(self, name: str, stored: list[torch.Tensor]):
        self.name = name
        self.stored = stored
        self.calls = 0

    def __call__(self, *args, **kwargs) -> torch.Tensor:
        drawn = self.stored[self.calls % len(self.stored)]
        self.calls += 1
        shape = args[-1] if isinstance(args[-1], tuple) else args
        if drawn.shape != shape:
            raise ValueError(f"{self.name}: shape {tuple(drawn.shape)} is stored, {shape} is asked for")
        return drawn.long() if self.name == "sample_index" else drawn

    def require_all_used(self, passes: int) -> None:
        """Complain unless each answer was used once, or once in each of the passes."""
        if self.calls not in (len(self.stored), len(self.stored) * passes):
            raise ValueError(f"{self.name}: {len(self.stored)} draws are stored, {self.calls} were asked for")


def run_forward(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return the forecast and everything on the way to it."""
    model = build(manifest, state).eval()
    x = inputs["x_noise"] * (np.float32(0.25) + inputs["x_amp"]) + np.float32(2) * inputs["x_level"]
    notes = manifest.get("notes", {}).get("inputs", "")
    for variate, value in re.findall(r"x_enc\[:, :, (\d+)\] = (-?\d+(?:\.\d+)?)", notes):
        x[:, :, int(variate)] = float(value)
    x = torch.from_numpy(x)
    marks = torch.from_numpy(inputs["x_mark"] - np.float32(0.5)) if "x_mark" in inputs else None

    seen: dict[str, torch.Tensor] = {}

    def keep(name):
        return lambda module, args, out: seen.__setitem__(name, out[0] if isinstance(out, tuple) else out)

    model.embedding.register_forward_hook(keep("embedding"))
    for i, layer in enumerate(model.backbone.layers):
        layer.attn.register_forward_hook(keep(f"attention{i}"))
        layer.register_forward_hook(keep(f"layer{i}"))
    with torch.no_grad(), replayed(inputs):
        outputs = {"output": model(x, marks)}
    with torch.no_grad(), replayed(inputs):
        encoder, _ = model.backbone(seen["embedding"])  # the model itself drops the covariates' tokens on the way
    outputs |= seen | {"encoder": encoder}
    with torch.no_grad(), replayed(inputs):
        _, maps = model.backbone(seen["embedding"], need_maps=model.has_maps)
    outputs |= {f"attn_map{i}": attention for i, attention in enumerate(maps)}
    return {name: value.numpy() for name, value in outputs.items()}


def run_grad_train(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return loss and gradients, then the losses and the parameters' norms over a few steps of Adam."""
    model = build(manifest, state).train()
    batch = {
        "inputs": torch.from_numpy(inputs["x_noise"] + np.float32(2) * inputs["x_level"]),
        "targets": torch.from_numpy(inputs["y_noise"] + np.float32(2) * inputs["x_level"]),
        "marks": torch.from_numpy(inputs["x_mark"] - np.float32(0.5)) if "x_mark" in inputs else None,
    }
    adam = torch.optim.Adam(model.parameters(), lr=1e-4)
    losses, gradients = [], {}
    with replayed(inputs, passes=ADAM_STEPS):
        for _ in range(ADAM_STEPS):
            loss = model(**batch, mode="loss")["loss_mse"]
            adam.zero_grad()
            loss.backward()
            losses.append(loss.item())
            gradients = gradients or to_official({k: p.grad.clone() for k, p in model.named_parameters()})
            adam.step()
    after = to_official(model.state_dict())
    return {
        "loss": np.array(losses[0]),
        **{f"grad:{key}": np.array(g.double().norm().item()) for key, g in gradients.items()},
        "train_losses": np.array(losses),
        "param_norm_after": np.array([after[key].double().norm().item() for key in state]),
    }


def run_init(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return norm and first element of each parameter right after construction, and the bound of its distribution."""
    torch.manual_seed(manifest["seed"])
    official = to_official(build(manifest).state_dict())
    keys = manifest["notes"]["keys"]
    fan_in = {key: official[f"{key.rpartition('.')[0]}.weight"][0].numel() for key in keys}
    bounds = [np.nan if "norm" in key else fan_in[key] ** -0.5 for key in keys]
    for key, bound in zip(keys, bounds, strict=True):
        if official[key].abs().max() > bound:
            raise ValueError(f"{key} leaves its bound {bound}")
    return {
        "norm": np.array([official[key].double().norm().item() for key in keys]),
        "first": np.array([official[key].flatten()[0] for key in keys], np.float64),
        "bound": np.array(bounds),
    }


def errors(forecast: torch.Tensor, target: torch.Tensor) -> dict:
    """Return what our metric says about forecasts (W, S, V)."""
    return fed(forecast, target).evaluate(len(forecast))


def fed(forecast: torch.Tensor, target: torch.Tensor) -> ForecastMetric:
    """Return our metric after it has seen forecasts (W, S, V) in batches."""
    metric = ForecastMetric()
    for f, t in zip(forecast.split(16), target.split(16), strict=True):
        metric.process(None, [{"forecast": a, "target": b, "last": b[0]} for a, b in zip(f, t, strict=True)])
    return metric


def mse_by_dropped_batch(metric: ForecastMetric) -> dict[int, float]:
    """Return by batch size the MSE without the short last batch, of the windows that ``metric`` has seen so far."""
    rows, answers = torch.cat(metric.results), {}
    for size in parity_data().DROP_BATCHES[: len(rows)]:
        dropping = ForecastMetric(drop_last_batch=size)
        dropping.results.append(rows)
        answers[size] = dropping.evaluate(len(rows))["mse"]
    return answers


def run_metrics(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return every error measure, and the two protocols that leave windows out or weigh them unevenly."""
    forecast = torch.from_numpy(inputs["pred"])
    target = inputs["true"] * np.float32(0.7) + inputs["pred"] * np.float32(0.5) + np.float32(0.1)
    target = torch.from_numpy(target)
    leaf = forecast.clone().requires_grad_()
    loss = F.mse_loss(leaf, target)
    loss.backward()
    last = errors(forecast[..., -1:], target[..., -1:])
    whole = errors(forecast, target)
    outputs = dict(
        loss_mse=loss.item(),
        loss_grad_norm=leaf.grad.double().norm().item(),
        **{key: whole[key] for key in ("mse", "mae", "rmse", "mape", "mspe")},
        rse=relative_squared_error(forecast, target).item(),
        corr=correlation(forecast, target).numpy(),
        ms_mse=last["mse"],
        ms_mae=last["mae"],
        ms_loss=F.mse_loss(forecast[..., -1:], target[..., -1:]).item(),
    )
    by_window = np.array([errors(f[None], t[None])["mse"] for f, t in zip(forecast, target, strict=True)])
    for size, mse in mse_by_dropped_batch(fed(forecast, target)).items():
        batches = [by_window[start : start + size] for start in range(0, len(by_window), size)]
        outputs[f"mse_drop_last_bs{size}"] = mse
        outputs[f"val_loss_bs{size}_full"] = np.mean([batch.mean() for batch in batches])
        outputs[f"val_loss_bs{size}_drop_last"] = np.mean([batch.mean() for batch in batches if len(batch) == size])
    return {name: np.asarray(value) for name, value in outputs.items()}


def learning_rates(scheduler: dict, rate: float, epochs: int) -> np.ndarray:
    """Return the rate in force in each epoch under one of our schedulers."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    scheduler = PARAM_SCHEDULERS.build(scheduler, default_args={"optimizer": optimizer})
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


def run_schedule_early_stopping(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return the learning rate of each epoch, and where training stops for given validation errors."""
    config = manifest["config"]
    rate, epochs = config["learning_rate"], config["train_epochs"]
    schedule = Config.fromfile(CONFIGS / "schedules" / "adam_halving_10e.py").param_scheduler
    runtime = Config.fromfile(CONFIGS / "default_runtime.py")
    stopping = next(hook for hook in runtime.custom_hooks if "EarlyStopping" in hook["type"])
    outputs = {
        "lr_type1": learning_rates(schedule, rate, epochs),
        "lr_type2": learning_rates({"type": "EpochTableLR"}, rate, epochs),
    }
    for name, losses in inputs.items():
        hook = HOOKS.build(dict(stopping) | {"patience": config["patience"]})
        runner = SimpleNamespace(
            train_loop=SimpleNamespace(stop_training=False),
            logger=MMLogger.get_current_instance(),
            message_hub=MessageHub.get_instance("parity"),
        )
        saved = []
        for loss in losses:
            hook.after_val_epoch(runner, {"mse": float(loss)})
            saved.append(int(hook.wait_count == 0))
            if runner.train_loop.stop_training:
                break
        i = name.removeprefix("val")
        outputs |= {f"es{i}_epochs_run": np.array(len(saved)), f"es{i}_saved": np.array(saved)}
    return outputs


def run_trained(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return the test errors of officially trained weights on the real data set."""
    data, config = parity_data(), manifest["config"]
    dataset = data.dataset_of_file(config, "test", config["pred_len"])
    model = build(manifest, state).eval()
    metric, first, last = ForecastMetric(by_step=True, by_variate=True), None, None
    with torch.no_grad():
        for indices in torch.arange(len(dataset)).split(TEST_BATCH):
            samples = model(**dataset.__getitems__(indices.tolist()), mode="predict")
            metric.process(None, samples)
            first, last = samples[0] if first is None else first, samples[-1]
    dropped = {f"mse_drop{size}": mse for size, mse in mse_by_dropped_batch(metric).items()}
    whole = metric.evaluate(len(dataset))
    std = np.array(dataset.metainfo["std"])
    outputs = dict(
        mse=whole["mse"],
        mae=whole["mae"],
        mse_per_step=whole["mse_by_step"],
        mae_per_step=whole["mae_by_step"],
        mse_per_variate=whole["mse_by_variate"],
        mae_per_variate=whole["mae_by_variate"],
        **dropped,
        forecast_first=first["forecast"],
        forecast_last=last["forecast"],
        inverse_mae=np.mean(std * whole["mae_by_variate"]),
    )
    return {name: np.asarray(value) for name, value in outputs.items()}


def run_baseline(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return the forecast of a model over time tokens, with the draws stored in the case."""
    with replayed(inputs):
        return PARTS["baselines"].run_baseline(manifest, state, inputs)


def parity_data() -> ModuleType:
    """Return the data sets' part of the adapter."""
    return PARTS["data"]


def run_data(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return windows, borders, scaler and time features of the data sets."""
    return parity_data().run_data(manifest, inputs)


def run_time_features(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return time features and calendar features of given time stamps."""
    return parity_data().run_time_features(manifest, inputs)


INVERTED = tuple(ATTENTIONS)
MAIN = INVERTED[:1]
PARTS = {name: fragment(name) for name in ("data", "baselines", "tasks")}
KINDS = {
    "forward": (run_forward, INVERTED),
    "grad_train": (run_grad_train, INVERTED),
    "init_itransformer": (run_init, MAIN),
    "trained": (run_trained, INVERTED),
    "baseline": (run_baseline, tuple(PARTS["baselines"].OFFICIAL)),
    "metrics": (run_metrics, ("utils/metrics.py",)),
    "schedule_early_stopping": (run_schedule_early_stopping, ("utils/tools.py",)),
    "data": (run_data, ("data_provider/",)),
    "time_features": (run_time_features, ("utils/timefeatures.py",)),
}
for name in ("data", "tasks"):
    KINDS |= PARTS[name].KINDS
