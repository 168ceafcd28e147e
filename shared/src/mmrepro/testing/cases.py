"""Parity cases: what an official implementation computed for weights that are drawn from parameter names.

A case is a manifest ``<name>.json`` and, where it has arrays, ``<name>.npz`` beside it. It stores no weights: each is
drawn from its key, ``PCG64(crc32("<seed>:<key>"))``, so a model of 300 MB costs a few kilobytes on disk. In the arrays
``input:x`` is a stored input, ``weight:x`` a stored weight and ``expected:x`` a result of the official code.

    case = load_case(package_root / "tests/parity/forward_etth1_96")
    outputs = load_adapter(package_root).run(case.public, case.state_dict(), case.inputs)
    errors = check(case, outputs)
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

DEFAULT_TOLERANCE = 1e-4
NOT_CASES = ("keys_", "param_groups_")


def generator(name: str, seed: int = 0) -> np.random.Generator:
    """Return the random stream that belongs to a name and a seed."""
    return np.random.Generator(np.random.PCG64(zlib.crc32(f"{seed}:{name}".encode())))


def draw_weight(key: str, shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """Return the float32 parameter or buffer that an official key stands for.

    Running variances are uniform in [0.5, 1.5); everything else is normal: matrices and kernels with a deviation of
    fan_in ** -0.5, at least 0.02, scales 1 + 0.1 n, other vectors 0.1 n. Activations so keep their size through a deep
    network.
    """
    shape = tuple(shape)
    random = generator(key, seed)
    leaf = key.split(".")[-1]
    if leaf == "running_var":
        drawn = random.random(shape) + 0.5
    elif len(shape) > 1:
        fan_in = int(np.prod(shape[1:]))
        drawn = random.standard_normal(shape) * max(fan_in**-0.5, 0.02)
    else:
        drawn = 0.1 * random.standard_normal(shape)
        if leaf.startswith(("weight", "gamma", "scale")):
            drawn = 1 + drawn
    return np.asarray(drawn).astype(np.float32)


def draw_input(name: str, shape: Sequence[int], kind: str = "normal", seed: int = 0) -> np.ndarray:
    """Return the float32 input that a name stands for: ``normal`` (mean 0, deviation 1), else uniform in [0, 1)."""
    random = generator(f"input:{name}", seed)
    drawn = random.standard_normal(tuple(shape)) if kind == "normal" else random.random(tuple(shape))
    return np.asarray(drawn).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """One parity case: how the official code was built, what it was given, what it computed."""

    name: str
    manifest: dict
    arrays: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def kind(self) -> str:
        """What is computed; an adapter dispatches on it."""
        return self.manifest["kind"]

    @property
    def config(self) -> dict:
        """The official implementation's own constructor arguments."""
        return self.manifest["config"]

    @property
    def seed(self) -> int:
        """The seed of everything that is drawn."""
        return self.manifest.get("seed", 0)

    @property
    def tolerance(self) -> float:
        """Largest allowed error, relative to the largest expected magnitude."""
        return self.manifest.get("tolerance", DEFAULT_TOLERANCE)

    def tolerance_of(self, name: str) -> float:
        """Return the tolerance of one expected value; a few have their own."""
        return (self.manifest.get("tolerance_by_array") or {}).get(name, self.tolerance)

    @property
    def public(self) -> dict:
        """The manifest without what is expected: what an adapter is given."""
        return {key: value for key, value in self.manifest.items() if key != "expected"}

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return the official parameters and float buffers by their own keys, duplicates included."""
        state = {key: draw_weight(key, shape, self.seed) for key, shape in self.manifest["state_dict"].items()}
        state |= self._stored("weight:")
        aliases = self.manifest.get("aliases") or {}
        return state | {duplicate: state[key] for duplicate, key in aliases.items() if key in state}

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """Inputs by name: drawn ones, and stored ones where the values carry meaning (boxes, labels)."""
        drawn = {
            name: draw_input(name, spec["shape"], spec.get("kind", "normal"), self.seed)
            for name, spec in self.manifest.get("inputs", {}).items()
        }
        return drawn | self._stored("input:")

    @property
    def expected(self) -> dict:
        """What the official code computed, by name: arrays, numbers (as arrays), texts and lists of texts."""
        return dict(_flatten(self.manifest.get("expected", {}))) | self._stored("expected:")

    def _stored(self, prefix: str) -> dict[str, np.ndarray]:
        return {name.removeprefix(prefix): array for name, array in self.arrays.items() if name.startswith(prefix)}


def load_case(path: str | Path) -> Case:
    """Load the case ``<path>.json`` with the ``<path>.npz`` beside it; ``path`` has no suffix."""
    path = Path(path)
    manifest = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))
    stored = path.with_name(f"{path.name}.npz")
    if not stored.is_file():
        return Case(path.name, manifest)
    with np.load(stored) as arrays:
        return Case(path.name, manifest, {name: arrays[name] for name in arrays.files})


def case_names(folder: str | Path) -> list[str]:
    """Return the names of a folder's cases, sorted; lists of keys and of optimiser groups are no cases."""
    return sorted(path.stem for path in Path(folder).glob("*.json") if not path.name.startswith(NOT_CASES))


def load_keys(path: str | Path) -> dict[str, dict]:
    """Load a list of official keys, ``keys_*.json`` or ``keys_*.json.gz``.

    Returns:
        By variant: ``state_dict`` (key: shape), ``aliases`` (duplicate: key), ``integer_buffers`` (keys), and what
        else the list says.
    """
    content = Path(path).read_bytes()
    if Path(path).suffix == ".gz":
        content = gzip.decompress(content)
    return json.loads(content)["variants"]


def check(case: Case, outputs: Mapping[str, object]) -> dict[str, float]:
    """Compare everything that a case expects with an adapter's full outputs.

    Returns:
        The error of each expected array, relative to its largest magnitude.

    Raises:
        AssertionError: something is missing or differs; all of it is listed.
    """
    slices = case.manifest.get("expected_slice") or {}
    errors: dict[str, float] = {}
    faults: list[str] = []
    for name, expected in case.expected.items():
        if name not in outputs:
            faults.append(f"{name}: not returned")
        elif not isinstance(expected, np.ndarray):
            if outputs[name] != expected:
                faults.append(f"{name}: {str(outputs[name])[:80]!r}, expected {str(expected)[:80]!r}")
        else:
            actual = np.asarray(outputs[name])
            if actual.shape != expected.shape:
                actual = cut(actual, slices.get(name))
            try:
                errors[name] = compare(actual, expected, case.tolerance_of(name))
            except AssertionError as fault:
                faults.append(f"{name}: {fault}")
    if faults:
        raise AssertionError(f"{case.name}: " + "; ".join(faults))
    return errors


def compare(actual: object, expected: object, tolerance: float = DEFAULT_TOLERANCE) -> float:
    """Return the largest difference, relative to the largest expected magnitude.

    Raises:
        AssertionError: it is above the tolerance, or the shapes or the places of non-finite values differ.
    """
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if actual.shape != expected.shape:
        raise AssertionError(f"shape {actual.shape}, expected {expected.shape}")
    if expected.size == 0:
        return 0.0
    if (np.isfinite(actual) != np.isfinite(expected)).any():
        raise AssertionError("non-finite values at other places than expected")
    # Infinities become the largest float, so their signs count; NaN becomes zero on both sides.
    actual, expected = np.nan_to_num(actual), np.nan_to_num(expected)
    with np.errstate(over="ignore"):  # infinities of opposite signs
        error = float(np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-12))
    if error > tolerance:
        raise AssertionError(f"relative error {error:.3g}, allowed {tolerance:.3g}")
    return error


def cut(array: np.ndarray, expression: str | None) -> np.ndarray:
    """Return the part of an array that a stored slice such as ``[:, ::4, ..., :2]`` names."""
    array = np.asarray(array)
    parts = [part.strip() for part in (expression or "").strip("[] ").split(",")]
    return array[tuple(_index(part) for part in parts if part)]


def _index(part: str) -> object:
    if part == "...":
        return Ellipsis
    if ":" not in part:
        return int(part)
    return slice(*(int(bound) if bound.strip() else None for bound in part.split(":")))


def _flatten(node: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield ``a/b/0/c`` and value; numbers and rectangular lists of numbers as float64 arrays, texts as they are."""
    if isinstance(node, dict):
        for key, child in node.items():
            yield from _flatten(child, f"{path}/{key}" if path else key)
    elif isinstance(node, list) and node and not all(isinstance(item, str) for item in node):
        try:
            yield path, np.asarray(node, np.float64)
        except (TypeError, ValueError):  # ragged, or a list of dicts
            for index, child in enumerate(node):
                yield from _flatten(child, f"{path}/{index}")
    elif isinstance(node, (int, float)):
        yield path, np.asarray(node, np.float64)
    else:
        yield path, node
