"""Key rules: how a state dict of the official layout becomes ours and back, every key accounted for.

A rule names keys by patterns: ``{i}`` stands for a number (a layer's index, anywhere in a name), ``*`` for any rest.
The same placeholders stand on both sides, so a rule works forward (official -> ours) and backward::

    RULES = KeyRules([
        Rename("encoder.norm.*", "backbone.norm.*"),
        Squeeze("encoder.layers.{i}.conv1.weight", "backbone.layers.{i}.fc1.weight", dim=-1),
        Drop("position.pe", "computed from the sizes", recreate=lambda state: {"position.pe": positions(state)}),
    ])
    ours = convert(official, RULES, target=model, source="checkpoint.pth")
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

State = dict[str, Tensor]

_PLACEHOLDER = re.compile(r"\{(\w+)\}|(\*)")


class CheckpointMismatchError(ValueError):
    """A state dict does not fit; one error lists every key at fault.

    Args:
        source: the file, or what else to call it.
        problems: lines by kind, for example ``{"not in the file": ["head.weight"]}``.
    """

    def __init__(self, source: str, problems: Mapping[str, list[str]]) -> None:
        self.source = source
        self.problems = {kind: sorted(lines) for kind, lines in problems.items() if lines}
        parts = [f"{kind} ({len(lines)}):\n    " + "\n    ".join(lines) for kind, lines in self.problems.items()]
        super().__init__(f"{source} does not fit.\n  " + "\n  ".join(parts))


@dataclass(frozen=True)
class Rename:
    """One key under another name."""

    source: str
    target: str

    @property
    def sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The patterns of the official keys and of ours."""
        return (self.source,), (self.target,)

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Official tensors to ours."""
        return tensors

    def backward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Our tensors to the official ones."""
        return tensors


@dataclass(frozen=True)
class Squeeze(Rename):
    """One key whose axis ``dim`` of size 1 we do not have: a convolution with kernel 1 as a linear layer."""

    dim: int = -1

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Official tensors to ours."""
        (tensor,) = tensors
        if tensor.shape[self.dim] != 1:
            raise ValueError(f"axis {self.dim} of {tuple(tensor.shape)} is not of size 1")
        return [tensor.squeeze(self.dim)]

    def backward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Our tensors to the official ones."""
        return [tensor.unsqueeze(self.dim) for tensor in tensors]


@dataclass(frozen=True)
class Transpose(Rename):
    """One key with two axes exchanged."""

    dims: tuple[int, int] = (0, 1)

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Official tensors to ours."""
        return [tensor.transpose(*self.dims) for tensor in tensors]

    def backward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Our tensors to the official ones."""
        return self.forward(tensors)


@dataclass(frozen=True)
class Join:
    """Several official keys that are one of ours, joined along ``dim`` in equal parts: q, k, v -> qkv."""

    sources: tuple[str, ...]
    target: str
    dim: int = 0

    @property
    def sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The patterns of the official keys and of ours."""
        return self.sources, (self.target,)

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Official tensors to ours."""
        return [torch.cat(tensors, self.dim)]

    def backward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Our tensors to the official ones."""
        return _equal_parts(tensors[0], len(self.sources), self.dim)


@dataclass(frozen=True)
class Split:
    """One official key that is several of ours, cut along ``dim`` in equal parts: qkv -> q, k, v."""

    source: str
    targets: tuple[str, ...]
    dim: int = 0

    @property
    def sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The patterns of the official keys and of ours."""
        return (self.source,), self.targets

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Official tensors to ours."""
        return _equal_parts(tensors[0], len(self.targets), self.dim)

    def backward(self, tensors: list[Tensor]) -> list[Tensor]:
        """Our tensors to the official ones."""
        return [torch.cat(tensors, self.dim)]


@dataclass(frozen=True)
class Drop:
    """Official keys that we have no use for: computed buffers, unused parameters.

    Args:
        pattern: their names.
        why: the reason, for readers.
        recreate: on the way back, from the official state dict so far, the dropped entries; None leaves them out.
    """

    pattern: str
    why: str
    recreate: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None


@dataclass(frozen=True)
class Alias:
    """A second name under which the official file stores a tensor of ``key``.

    Args:
        duplicate: the second name, dropped once its content is found equal.
        key: the official name that another rule maps; it may lack one placeholder of the duplicate.
        indices: the values of that placeholder on the way back.
    """

    duplicate: str
    key: str
    indices: tuple[int, ...] = ()


Rule = Rename | Join | Split | Drop | Alias


class KeyRules:
    """An ordered list of rules; the first that matches a key takes it.

    Args:
        rules: the rules. A paper may add a kind of its own: a class with ``sides``, ``forward`` and ``backward``.

    Raises:
        ValueError: the two sides of a rule do not have the same placeholders.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        for rule in self.rules:
            if isinstance(rule, Alias):
                free = _placeholders(rule.duplicate) ^ _placeholders(rule.key)
                if len(free) > bool(rule.indices):
                    raise ValueError(f"{rule} needs indices for {', '.join(sorted(free))}")
            elif not isinstance(rule, Drop):
                names = {frozenset(_placeholders(pattern)) for side in rule.sides for pattern in side}
                if len(names) > 1:
                    raise ValueError(f"the sides of {rule} do not have the same placeholders")

    def forward(self, state: Mapping[str, Tensor], source: str = "the state dict") -> State:
        """Return our state dict for an official one.

        Raises:
            CheckpointMismatchError: keys that no rule takes, parts that are missing, aliases that differ.
        """
        return convert(state, self, source=source)

    def backward(self, state: Mapping[str, Tensor], source: str = "the state dict") -> State:
        """Return the official state dict for one of ours; dropped buffers and aliases are made again.

        Raises:
            CheckpointMismatchError: keys that no rule takes, parts that are missing.
        """
        return convert(state, self, source=source, backward=True)

    def known(self, state: Mapping[str, Tensor]) -> State:
        """Return the part of our state dict that an official one gives, however incomplete: for reading sizes."""
        return self._apply(state, False, defaultdict(list))[0]

    def _apply(
        self, state: Mapping[str, Tensor], backward: bool, problems: dict[str, list[str]]
    ) -> tuple[State, set[str]]:
        """Return what the rules make of the state dict, and the keys that they could not make; note why."""
        result: State = {}
        failed: set[str] = set()
        groups: dict[tuple[int, tuple], dict[str, Tensor]] = defaultdict(dict)
        for key, tensor in state.items():
            found = self._find(key, backward, state, problems)
            if found is None:
                problems["no rule takes"].append(key)
            elif found[0] >= 0:
                groups[found][key] = tensor
        for (number, values), tensors in groups.items():
            rule = self.rules[number]
            sources, targets = reversed(rule.sides) if backward else rule.sides
            wanted = [_fill(pattern, dict(values)) for pattern in sources]
            absent = [key for key in wanted if key not in tensors]
            problems["not in the file"] += absent
            names = [_fill(pattern, dict(values)) for pattern in targets]
            if absent:
                failed.update(names)
                continue
            try:
                parts = (rule.backward if backward else rule.forward)([tensors[key] for key in wanted])
            except (IndexError, RuntimeError, ValueError) as error:  # what torch raises for shapes that do not fit
                problems["wrong shape"].append(f"{', '.join(wanted)}: {error}")
                failed.update(names)
                continue
            for name, part in zip(names, parts, strict=True):
                if name in result:
                    problems["filled twice"].append(name)
                result[name] = part
        complete = not any(problems.values())
        return (self._with_recreated(result) if backward and complete else result), failed

    def _origin(self, key: str, backward: bool) -> str:
        """Return a key that should have been made, with the names that it is made from."""
        for rule in self.rules:
            if isinstance(rule, Drop | Alias):
                continue
            sources, targets = reversed(rule.sides) if backward else rule.sides
            for pattern in targets:
                values = _match(pattern, key)
                if values is not None:
                    return f"{key}, made from {', '.join(_fill(source, values) for source in sources)}"
        return key

    def _find(
        self, key: str, backward: bool, state: Mapping[str, Tensor], problems: dict[str, list[str]]
    ) -> tuple[int, tuple] | None:
        """Return the number of the rule that takes a key, and its placeholders' values; -1 for one that is dropped."""
        for number, rule in enumerate(self.rules):
            if isinstance(rule, Drop | Alias):
                pattern = rule.pattern if isinstance(rule, Drop) else rule.duplicate
                values = None if backward else _match(pattern, key)
                if values is None:
                    continue
                if isinstance(rule, Alias):
                    first = _fill(rule.key, values)
                    if first == key:  # the duplicates' pattern matches the first name as well
                        continue
                    if first not in state:
                        problems["not in the file"].append(first)
                    elif not _same(state[key], state[first]):
                        problems["differ from the tensor that they are a second name of"].append(f"{key}, of {first}")
                return -1, ()
            for pattern in rule.sides[1 if backward else 0]:
                values = _match(pattern, key)
                if values is not None:
                    return number, tuple(sorted(values.items()))
        return None

    def _with_recreated(self, state: State) -> State:
        for rule in self.rules:
            if isinstance(rule, Drop) and rule.recreate is not None:
                state = {**state, **rule.recreate(state)}
            elif isinstance(rule, Alias):
                free = _placeholders(rule.duplicate) - _placeholders(rule.key)
                for key, tensor in list(state.items()):
                    values = _match(rule.key, key)
                    for index in (rule.indices or (0,)) if values is not None else ():
                        state.setdefault(_fill(rule.duplicate, values | dict.fromkeys(free, str(index))), tensor)
        return state


def convert(
    state: Mapping[str, Tensor],
    rules: KeyRules,
    target: Mapping[str, Iterable[int]] | nn.Module | None = None,
    source: str = "the checkpoint",
    *,
    backward: bool = False,
) -> State:
    """Convert a state dict and account for every key on both sides.

    Args:
        state: the official state dict; ours with ``backward``. Tensors may lie on the meta device.
        rules: the rules between the two.
        target: the keys and shapes to fill, or the model that has them; None checks the source's side alone.
        source: what the error calls the state dict, the file's name.
        backward: from ours to the official layout.

    Raises:
        CheckpointMismatchError: one error with every key that no rule takes, that is missing, or has a wrong shape.
    """
    problems: dict[str, list[str]] = defaultdict(list)
    result, failed = rules._apply(state, backward, problems)
    if target is not None:
        found = differences(result, target)
        absent = (key for key in found.pop("not in the file") if key not in failed)  # those are listed by their parts
        problems["not in the file"] += [rules._origin(key, backward) for key in absent]
        for kind, lines in found.items():
            problems[kind] += lines
    if any(problems.values()):
        raise CheckpointMismatchError(source, problems)
    return result


def differences(state: Mapping[str, Tensor], target: Mapping[str, Iterable[int]] | nn.Module) -> dict[str, list[str]]:
    """Return the keys in which a state dict differs from a model, or from a mapping of keys to shapes, by kind."""
    shapes = target.state_dict() if isinstance(target, nn.Module) else target
    shapes = {key: tuple(getattr(shape, "shape", shape)) for key, shape in shapes.items()}
    return {
        "not in the file": [key for key in shapes if key not in state],
        "not in the model": [key for key in state if key not in shapes],
        "wrong shape": [
            f"{key}: {tuple(state[key].shape)} in the file, {shape} in the model"
            for key, shape in shapes.items()
            if key in state and tuple(state[key].shape) != shape
        ],
    }


def _equal_parts(tensor: Tensor, count: int, dim: int) -> list[Tensor]:
    if tensor.shape[dim] % count:
        raise ValueError(f"axis {dim} of {tuple(tensor.shape)} cannot be cut in {count} equal parts")
    return list(tensor.split(tensor.shape[dim] // count, dim))


def _same(one: Tensor, other: Tensor) -> bool:
    if one.is_meta or other.is_meta:
        return one.shape == other.shape
    return torch.equal(one, other)


def _placeholders(pattern: str) -> set[str]:
    return {match.group(1) or "*" for match in _PLACEHOLDER.finditer(pattern)}


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    text, end, seen = "", 0, set()
    for match in _PLACEHOLDER.finditer(pattern):
        name = match.group(1) or "rest"
        body = r"\d+" if match.group(1) else ".+"
        text += re.escape(pattern[end : match.start()])
        text += f"(?P={name})" if name in seen else f"(?P<{name}>{body})"
        seen.add(name)
        end = match.end()
    return re.compile(text + re.escape(pattern[end:]))


def _match(pattern: str, key: str) -> dict[str, str] | None:
    """Return the placeholders' values when the pattern matches the key, else None."""
    match = _regex(pattern).fullmatch(key)
    return None if match is None else match.groupdict()


def _fill(pattern: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values[match.group(1) or "rest"], pattern)
