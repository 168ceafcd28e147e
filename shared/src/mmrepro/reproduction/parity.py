"""The second tier: same weights and inputs give the official code's outputs, losses and gradients.

Runs all stored cases of a package through its adapter. It needs a checkout: wheels hold no cases.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mmrepro.datasets.registry import DataNotFoundError
from mmrepro.testing import Case, case_names, check, load_adapter, load_case

from .faults import FAULTS


@dataclass(frozen=True)
class CaseResult:
    """What became of one case: ``state`` is ``passed``, ``failed``, ``not_served`` or ``no_data``."""

    name: str
    kind: str
    state: str
    ratio: float = 0.0  # the largest error over its tolerance
    message: str = ""


def run_cases(package_root: Path) -> list[CaseResult]:
    """Run every case of a package through its adapter."""
    adapter = load_adapter(package_root)
    folder = Path(package_root) / "tests" / "parity"
    return [run_case(adapter, load_case(folder / name)) for name in case_names(folder)]


def run_case(adapter: object, case: Case) -> CaseResult:
    """Run one case.

    An adapter refuses a kind that it does not serve by a ValueError, ``kind 'x' ...``; that is neither a pass nor a
    failure.
    """
    try:
        outputs = adapter.run(case.public, case.state_dict(), case.inputs)
        errors = check(case, outputs)
    except DataNotFoundError as missing:
        return CaseResult(case.name, case.kind, "no_data", message=str(missing))
    except FAULTS as fault:
        if type(fault) is ValueError and re.search(rf"\bkind\b.*\b{re.escape(case.kind)}\b", str(fault)):
            return CaseResult(case.name, case.kind, "not_served", message=str(fault))
        return CaseResult(case.name, case.kind, "failed", message=f"{type(fault).__name__}: {fault}")
    # Where the tolerance is 0, which bit-exact results have, so is the error that has passed.
    worst = max((error / case.tolerance_of(name) if error else 0.0 for name, error in errors.items()), default=0.0)
    return CaseResult(case.name, case.kind, "passed", worst)


def summarize(results: list[CaseResult]) -> tuple[dict[str, float], dict]:
    """Return the ledger's metrics and details of a run of the cases."""
    states = ("passed", "failed", "not_served", "no_data")
    metrics: dict[str, float] = {state: sum(result.state == state for result in results) for state in states}
    passed = [result for result in results if result.state == "passed"]
    worst = max(passed, key=lambda result: result.ratio, default=None)
    metrics["worst"] = worst.ratio if worst else 0.0
    details = {"worst_case": worst.name if worst else ""}
    details["failed"] = {result.name: result.message[:500] for result in results if result.state == "failed"}
    details["not_served"] = sorted({result.kind for result in results if result.state == "not_served"})
    return metrics, details
