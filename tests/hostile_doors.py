"""Every stock door through which a checkpoint comes in, tried with hostile files; run by test_hostile_checkpoints.py.

    python hostile_doors.py stock|installed FOLDER

writes ``FOLDER/results.json``: for each ``door/payload`` whether the payload ran and what error came out. ``stock`` is
the host libraries as they are; ``installed`` has mmrepro's safe loader behind them.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.fileio import BaseStorageBackend, register_backend
from mmengine.infer import BaseInferencer
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel, PretrainedInit
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner, checkpoint, load_checkpoint
from torch import nn

import mmrepro  # noqa: F401  its finder lets mmdet, mmseg and mmpretrain import; the safe loader comes later

# The places in a checkpoint of mmengine's kind, and the file that is nothing but the payload.
PLACES = ("state_dict", "optimizer", "meta", "message_hub", "history", "alone")
CONFIG_PLACES = ("meta", "message_hub")
CONFIG_KINDS = ("code", "type")


class Payload:
    """Runs when it is unpickled in full: makes an empty file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return exec, (f"open({str(self.marker)!r}, 'w').close()",)


@MODELS.register_module()
class HostileToy(BaseModel):
    """A model that every door can build."""

    def __init__(self, backbone: dict | None = None, **_) -> None:
        super().__init__()
        self.backbone = nn.Linear(2, 2)

    def forward(self, inputs=None, data_samples=None, mode="tensor"):
        return {"loss": self.backbone(torch.stack(inputs)).sum()}


@DATASETS.register_module()
class HostileToySet(torch.utils.data.Dataset):
    """Data that every door can build."""

    def __init__(self, **_) -> None:
        self.metainfo = {"classes": ("a", "b"), "palette": [(0, 0, 0), (1, 1, 1)]}

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> dict:
        return {"inputs": torch.ones(2)}


class ToyInferencer(BaseInferencer):
    """mmengine's inferencer with what it leaves to its children."""

    def _init_pipeline(self, cfg):
        return lambda item: item

    def visualize(self, *_, **__):
        return []

    def postprocess(self, *_, **__):
        return {}


class ToyCeph(BaseStorageBackend):
    """Serves ``s3://`` from the folder of this run."""

    def get(self, filepath):
        return Path(filepath.split("://", 1)[1]).read_bytes()

    def get_text(self, filepath):
        return self.get(filepath).decode()


def good(**changes) -> dict:
    """Return a checkpoint as mmengine writes one."""
    model = HostileToy()
    parts = {
        "state_dict": model.state_dict(),
        "meta": {"epoch": 1, "iter": 1, "dataset_meta": {"classes": ("a", "b"), "palette": [(0, 0, 0), (1, 1, 1)]}},
        "message_hub": {"log_scalars": OrderedDict(), "runtime_info": OrderedDict(), "resumed_keys": {}},
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1).state_dict(),
        "param_schedulers": [],
    }
    return {**parts, **changes}


def hostile(place: str, marker: Path) -> object:
    """Return a checkpoint with the payload at a place."""
    parts, payload = good(), Payload(marker)
    if place == "alone":
        return payload
    if place == "history":
        parts["message_hub"]["log_scalars"]["loss"] = [payload]
    elif place == "message_hub":
        parts["message_hub"]["runtime_info"]["note"] = payload
    elif place == "optimizer":
        parts["optimizer"]["state"][0] = {"momentum_buffer": payload}
    else:
        parts[place]["payload"] = payload
    return parts


def with_config(place: str, kind: str, marker: Path, key: str = "cfg") -> dict:
    """Return a checkpoint whose config text is hostile: by its code, or by what a registry makes of it."""
    text = {
        "code": f"__import__('os').system('touch {marker}')\nmodel = dict(type='HostileToy')\n",
        "type": f"model = dict(type='os.system', command='touch {marker}')\n",
    }[kind]
    parts = good()
    (parts["meta"] if place == "meta" else parts["message_hub"]["runtime_info"])[key] = text
    return parts


class Doors:
    """The doors; each public method takes a file's path and its URL.

    Args:
        folder: where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def local(self, path, url):
        return checkpoint.CheckpointLoader.load_checkpoint(path)

    def http(self, path, url):
        return checkpoint.CheckpointLoader.load_checkpoint(url)

    def https_scheme(self, path, url):
        return checkpoint.CheckpointLoader._get_checkpoint_loader("https://host/file.pth")(url)

    def load_from_local(self, path, url):
        return checkpoint.load_from_local(path, map_location="cpu")

    def load_from_http(self, path, url):
        return checkpoint.load_from_http(url, map_location="cpu")

    def torchvision(self, path, url):
        checkpoint.get_torchvision_models = lambda: {"hostile": url}
        return checkpoint._load_checkpoint("torchvision://hostile")

    def modelzoo(self, path, url):
        checkpoint.get_torchvision_models = lambda: {"hostile": url}
        return checkpoint._load_checkpoint("modelzoo://hostile")

    def openmmlab_url(self, path, url):
        self.in_home(url)
        return checkpoint._load_checkpoint("openmmlab://hostile")

    def openmmlab_file(self, path, url):
        self.in_home(path)
        return checkpoint._load_checkpoint("openmmlab://hostile")

    def open_mmlab_file(self, path, url):
        self.in_home(path)
        return checkpoint._load_checkpoint("open-mmlab://hostile")

    def mmcls(self, path, url):
        checkpoint.get_mmcls_models = lambda: {"hostile": url}
        return checkpoint._load_checkpoint("mmcls://hostile")

    def ceph(self, path, url):
        register_backend("petrel", ToyCeph, force=True)
        return checkpoint._load_checkpoint(f"s3://{path}")

    def pavi(self, path, url):
        def download(place):
            Path(place).write_bytes(Path(path).read_bytes())

        client = types.SimpleNamespace(get=lambda name: types.SimpleNamespace(name="model.pth", download=download))
        sys.modules["pavi"] = types.SimpleNamespace(modelcloud=client)
        return checkpoint._load_checkpoint(f"pavi://{Path(path).name}")

    def torch_load_of_mmengine(self, path, url):
        return getattr(checkpoint, "_safe_torch_load", torch.load)(path, weights_only=False)

    def load_url_of_mmengine(self, path, url):
        from mmengine.utils.dl_utils import load_url

        return load_url(url)

    def load_checkpoint_(self, path, url):
        return checkpoint._load_checkpoint(path, map_location="cpu")

    def load_checkpoint_with_prefix(self, path, url):
        return checkpoint._load_checkpoint_with_prefix("backbone", path)

    def load_checkpoint(self, path, url):
        return load_checkpoint(HostileToy(), path)

    def pretrained_init(self, path, url):
        PretrainedInit(path)(HostileToy())

    def pretrained_init_with_prefix(self, path, url):
        PretrainedInit(path, prefix="backbone")(nn.Linear(2, 2))

    def runner_load_from(self, path, url):
        self.runner(load_from=path).train()

    def runner_resume(self, path, url):
        self.runner(load_from=path, resume=True).train()

    def runner_load_checkpoint(self, path, url):
        self.runner().load_checkpoint(path)

    def strategy(self, path, url):
        from mmengine._strategy import SingleDeviceStrategy

        strategy = SingleDeviceStrategy(work_dir=str(self.folder / "work"), experiment_name=self.name())
        strategy.prepare(HostileToy())
        strategy.load_checkpoint(path)

    def inferencer(self, path, url):
        ToyInferencer({"model": {"type": "HostileToy"}}, path, device="cpu", scope="mmengine")

    def init_detector(self, path, url):
        from mmdet.apis import init_detector

        init_detector(self.config(), path, device="cpu")

    def det_inferencer(self, path, url):
        from mmdet.apis import DetInferencer

        DetInferencer(self.config("PackDetInputs"), path, device="cpu")

    def init_model(self, path, url):
        from mmseg.apis import init_model

        init_model(self.config(), path, device="cpu")

    def seg_inferencer(self, path, url):
        from mmseg.apis import MMSegInferencer

        MMSegInferencer(self.config("PackSegInputs", "SegLocalVisualizer"), path, device="cpu")

    def get_model(self, path, url):
        from mmpretrain import get_model

        get_model(self.config(), pretrained=path, device="cpu")

    def pretrain_inferencer(self, path, url):
        from mmpretrain import ImageClassificationInferencer

        ImageClassificationInferencer(self.config(), pretrained=path, device="cpu")

    def in_home(self, place: str) -> None:
        (Path(os.environ["MMENGINE_HOME"]) / "open_mmlab.json").write_text(json.dumps({"hostile": place}))

    def name(self) -> str:
        self.count += 1
        return f"hostile{self.count}"

    def config(self, pack: str = "mmpretrain.PackInputs", visualizer: str = "Visualizer") -> Config:
        pipeline = [{"type": "LoadImageFromFile"}, {"type": pack}]
        return Config(
            {
                "model": {"type": "mmengine.HostileToy", "backbone": {}},
                "test_dataloader": {"dataset": {"type": "mmengine.HostileToySet", "pipeline": pipeline}},
                "visualizer": {"type": visualizer},
            }
        )

    def runner(self, **settings) -> Runner:
        return Runner(
            model={"type": "HostileToy"},
            work_dir=str(self.folder / "work"),
            train_dataloader={
                "dataset": {"type": "HostileToySet"},
                "sampler": {"type": "DefaultSampler"},
                "batch_size": 2,
            },
            train_cfg={"by_epoch": True, "max_epochs": 1},
            optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
            default_scope="mmengine",
            experiment_name=self.name(),
            log_level="ERROR",
            **settings,
        )


def config_doors() -> dict[str, Callable[[str, str], object]]:
    """Return the doors that run a config which the checkpoint brings."""

    def det(path, url):
        from mmdet.apis import DetInferencer

        DetInferencer(weights=path, device="cpu")

    def seg(path, url):
        from mmseg.apis import MMSegInferencer

        MMSegInferencer(None, weights=path, device="cpu")

    return {
        "inferencer": lambda path, url: ToyInferencer(weights=path, device="cpu", scope="mmengine"),
        "det_inferencer": det,
        "seg_inferencer": seg,
    }


def method_table_takes_a_builtin(path: Path) -> bool:
    """Return whether a file's getattr gets into the table of methods that all of mmengine's HistoryBuffers share."""
    state = HistoryBuffer([1.0], [1]).__getstate__() | {"statistics_methods": {"new": getattr}}
    original, HistoryBuffer.__getstate__ = HistoryBuffer.__getstate__, lambda buffer: state
    torch.save(good(message_hub={"log_scalars": {"loss": HistoryBuffer()}}), path)
    HistoryBuffer.__getstate__ = original
    checkpoint._load_checkpoint(str(path))
    return HistoryBuffer._statistics_methods.get("new") is getattr


def attempt(action: Callable[[], object], marker: Path) -> dict:
    """Run one door and return what came of it; a hostile file may raise anything after its payload ran."""
    error = None
    try:
        action()
    except Exception as caught:
        error = {"type": type(caught).__name__, "module": type(caught).__module__, "text": str(caught)}
    return {"ran": marker.exists(), "error": error}


def main(mode: str, folder: Path) -> None:
    """Try everything and write the results."""
    warnings.simplefilter("ignore")
    if mode == "installed":
        from mmrepro import safe_loading

        safe_loading.install()
    elif not hasattr(checkpoint, "_safe_torch_load"):
        # Upstream mmengine leaves it to torch, whose default changed in 2.6: as with the torch that it was written for.
        os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    results = {}

    def record(name: str, content: object, action: Callable[[str, str], object]) -> None:
        stem = re.sub(r"\W", "-", name)
        marker, path = folder / f"{stem}.ran", folder / f"{stem}.pth"
        torch.save(content(marker) if callable(content) else content, path)
        url = f"http://127.0.0.1:{server.server_port}/{path.name}"
        results[name] = attempt(lambda: action(str(path), url), marker)

    doors = Doors(folder)
    names = [name for name, value in vars(Doors).items() if callable(value) and "url" in value.__code__.co_varnames]
    for name in names:
        door = getattr(doors, name)
        record(f"{name}/good", good(), door)
        for place in PLACES if mode == "installed" else ("state_dict",):
            record(f"{name}/{place}", partial(hostile, place), door)
    for name, config_door in config_doors().items():
        for place in CONFIG_PLACES:
            for kind in CONFIG_KINDS:
                record(f"{name}/{place} {kind}", partial(with_config, place, kind), config_door)
    record("runner_resume/config", partial(with_config, "meta", "code", key="config"), doors.runner_resume)
    server.shutdown()
    results["history"] = {"ran": method_table_takes_a_builtin(folder / "history.pth")}
    (folder / "results.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
