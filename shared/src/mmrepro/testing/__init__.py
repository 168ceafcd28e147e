"""What tests of every package use: parity cases, adapters, data sets, tiny configs.

Importing this needs numpy and nothing heavier; ``testing.distributed``, ``testing.resume`` and ``testing.bench`` are
imported by who uses them.
"""

from .adapters import SplitAdapter, load_adapter
from .cases import Case, case_names, check, compare, load_case, load_keys
from .configs import load_config
from .data import require_data
from .tiny import tiny

__all__ = [
    "Case",
    "SplitAdapter",
    "case_names",
    "check",
    "compare",
    "load_adapter",
    "load_case",
    "load_config",
    "load_keys",
    "require_data",
    "tiny",
]
