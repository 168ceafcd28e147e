"""The parity adapter: what the official code computed in a case, computed by this package."""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections.abc import Callable
from contextlib import ExitStack
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
from mm_itransformer.evaluation import ForecastMetric, correlation, relative_squared_error
from mm_itransformer.models import ITransformer
from mmrepro.testing.cases import cut

HERE = Path(__file__).resolve().parent
CONFIGS = HERE.parent / "configs" / "_base_"
ADAM_STEPS = 5
CLASS_OF_SET = {"ETTh": "Dataset_ETT_hour", "ETTm": "Dataset_ETT_minute"}
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


def replayed(inputs: dict[str, np.ndarray]) -> ExitStack:
    """Return a context in which torch draws what the case stores, call after call and from the first one again.

    Raises:
        ValueError: inside it, a draw of another shape is asked for.
    """
    stack = ExitStack()
    for name, function in DRAWS.items():
        stored = [inputs[f"{name}{i}"] for i in range(len(inputs)) if f"{name}{i}" in inputs]
        if stored:
            stack.enter_context(mock.patch(function, _answers([torch.from_numpy(array) for array in stored])))
    return stack


def _answers(stored: list[torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return a function that answers calls for random numbers with stored ones."""
    draws = itertools.cycle(stored)

    def draw(*args, **kwargs) -> torch.Tensor:
        drawn = next(draws)
        shape = args[-1] if isinstance(args[-1], tuple) else args
        if drawn.shape != shape:
            raise ValueError(f"random numbers of shape {tuple(drawn.shape)} are stored, {shape} are asked for")
        return drawn if drawn.is_floating_point() else drawn.long()

    return draw


def run_forward(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return the forecast and everything on the way to it."""
    model = build(manifest, state).eval()
    x = inputs["x_noise"] * (np.float32(0.25) + inputs["x_amp"]) + np.float32(2) * inputs["x_level"]
    for variate, value in re.findall(r"x_enc\[:, :, (\d+)\] = ([-\d.]+)", manifest["notes"]["inputs"]):
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
        encoder, _ = model.backbone(seen["embedding"])  # the model itself drops the covariates' tokens on the way
        outputs |= seen | {"encoder": encoder}
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
    with replayed(inputs):
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


def errors(forecast: torch.Tensor, target: torch.Tensor, batch: int = 16, **options) -> dict:
    """Return what our metric says about forecasts (W, S, V), fed to it in batches."""
    metric = ForecastMetric(**options)
    for f, t in zip(forecast.split(batch), target.split(batch), strict=True):
        metric.process(None, [{"forecast": a, "target": b, "last": b[0]} for a, b in zip(f, t, strict=True)])
    return metric.evaluate(len(forecast))


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
    for size in range(1, len(forecast) + 1):  # the case does not say which batch sizes it looks at
        batches = list(zip(forecast.split(size), target.split(size), strict=True))
        full = [errors(f, t)["mse"] for f, t in batches]
        kept = [mse for mse, (f, _) in zip(full, batches, strict=True) if len(f) == size]
        outputs[f"mse_drop_last_bs{size}"] = errors(forecast, target, drop_last_batch=size)["mse"]
        outputs[f"val_loss_bs{size}_full"] = np.mean(full)
        outputs[f"val_loss_bs{size}_drop_last"] = np.mean(kept)
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


def run_tslib_forecast(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return the forecast of the Time-Series-Library's model, which always normalises its windows."""
    model = build(manifest, state).eval()
    with torch.no_grad():
        x = torch.from_numpy(inputs["x_enc"] + np.float32(0.5))
        return {"output": model(x, torch.from_numpy(inputs["x_mark"] - np.float32(0.5))).numpy()}


def run_trained(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return the test errors of officially trained weights on the real data set."""
    data, config = parity_data(), manifest["config"]
    dataset = data.dataset(
        CLASS_OF_SET.get(config["file"][:4], "Dataset_Custom"),
        "test",
        data=data.find_file(config["file"]),
        pred_len=config["pred_len"],
        **data.options_of(config),
    )
    model = build(manifest, state).eval()
    samples = []
    with torch.no_grad():
        for indices in torch.arange(len(dataset)).split(256):
            samples += model(**dataset.__getitems__(indices.tolist()), mode="predict")
    forecast, target = (torch.stack([s[key] for s in samples]) for key in ("forecast", "target"))
    whole = errors(forecast, target, batch=256, by_step=True, by_variate=True)
    dropped = {f"mse_drop{n}": errors(forecast, target, drop_last_batch=n)["mse"] for n in (32, 64, 128, 256)}
    std = np.array(dataset.metainfo["std"])
    outputs = dict(
        mse=whole["mse"],
        mae=whole["mae"],
        mse_per_step=whole["mse_by_step"],
        mae_per_step=whole["mae_by_step"],
        mse_per_variate=whole["mse_by_variate"],
        **dropped,
        forecast_first=forecast[0],
        forecast_last=forecast[-1],
        inverse_mae=np.mean(std * whole["mae_by_variate"]),
    )
    return {name: np.asarray(value) for name, value in outputs.items()}


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
    "tslib_long_term_forecast": (run_tslib_forecast, ("models/iTransformer.py",)),
    "metrics": (run_metrics, ("utils/metrics.py",)),
    "schedule_early_stopping": (run_schedule_early_stopping, ("utils/tools.py",)),
    "data": (run_data, ("data_provider/",)),
    "time_features": (run_time_features, ("utils/timefeatures.py",)),
}
for part in PARTS.values():
    KINDS |= part.KINDS
