"""Child processes that train through the real entry points, for tests of every paper."""

from __future__ import annotations

import copy
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmrepro.engine import configuration


def load_config(config: Config | str | Path) -> Config:
    """Return a config of one's own: from a config, its path, or the bare name of an installed paper's config."""
    if isinstance(config, Config):
        return copy.deepcopy(config)
    return Config.fromfile(configuration.find(str(config), paper=None))


def write_config(
    config: Config, path: Path, changes: Mapping[str, Any] | None = None, hooks: Sequence[dict] = (), module: str = ""
) -> Path:
    """Write a config with changes into one file and return its path.

    Args:
        config: the config; it is left as it is.
        path: the file to write.
        changes: dotted keys and their values, which replace what the config has.
        hooks: configs of further custom hooks.
        module: the module that registers them.
    """
    changed = copy.deepcopy(config)
    for key, value in (changes or {}).items():
        *parents, last = key.split(".")
        node = changed
        for parent in parents:
            node = node[int(parent)] if isinstance(node, list) else node[parent]
        node[last] = value
    changed.custom_hooks = [*(changed.get("custom_hooks") or []), *hooks]
    if module:
        imports = (changed.get("custom_imports") or {}).get("imports", [])
        changed.custom_imports = dict(imports=[*imports, module], allow_failed_imports=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    changed.dump(path)
    return path


def train(config: Path, work_dir: Path, *arguments: str, processes: int = 1) -> subprocess.Popen[str]:
    """Start a training through the entry point (several processes with ``torch.distributed.launch`` and gloo)."""
    command = [sys.executable, "-m"]
    if processes > 1:
        arguments = (*arguments, "--launcher", "pytorch")
        ports = [f"--nproc_per_node={processes}", f"--master_port={free_port()}"]
        command += ["torch.distributed.launch", *ports, "--module"]
    return start([*command, "mmrepro.engine.train", str(config), "--work-dir", str(work_dir), *arguments])


def start(command: Sequence[str]) -> subprocess.Popen[str]:
    """Start a command on the CPU, with one thread per process; its output is collected."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(child: subprocess.Popen[str]) -> str:
    """Wait for a child that must succeed, and return what it printed.

    Raises:
        AssertionError: it failed; the message holds the end of its output.
    """
    output, _ = child.communicate()
    assert child.returncode == 0, f"{child.args} failed with {child.returncode}:\n{output[-4000:]}"
    return output


def free_port() -> int:
    """Return a port that nothing listens on at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
