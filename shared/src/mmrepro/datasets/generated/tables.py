"""Generated tables in the files of UCI's Adult and bank marketing data, for tests of what reads those.

Columns, separators and labels are those of the real files; the values are drawn, with few categories. The answer
depends on two of the columns and on chance.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from .folder import temporary_folder

BANK_FILE = "bank-additional-full.csv"
_WORK, _SCHOOL = ("Private", "State-gov", "Self-emp-inc"), ("HS-grad", "Bachelors", "Masters")


@cache
def adult_files(count: int = 120, seed: int = 0) -> Path:
    """Write ``adult.data`` and ``adult.test``, a third of the rows, into a temporary folder; return the folder.

    As in the real files there are no names, the second one begins with a comment and ends its labels with a full stop,
    and a twentieth of the rows lacks an occupation. The folder is removed when the process ends.

    Args:
        count: rows of both files.
        seed: of the rows.

    Raises:
        ValueError: no row is asked for.
    """
    folder = temporary_folder("adult", count)
    draw = np.random.Generator(np.random.PCG64(seed))
    lines = []
    for _ in range(count):
        age, school = int(draw.integers(17, 71)), int(draw.integers(len(_SCHOOL)))
        chance = 0.8 if age > 40 and school else 0.1
        job = "?" if draw.random() < 0.05 else ("Sales", "Craft-repair")[draw.integers(2)]
        cells = (
            *(age, _WORK[draw.integers(3)], draw.integers(20_000, 300_000), _SCHOOL[school], 9 + 2 * school),
            *(("Never-married", "Divorced")[draw.integers(2)], job, ("Husband", "Wife")[draw.integers(2)], "White"),
            *(("Male", "Female")[draw.integers(2)], 0, 0, (20, 40, 60)[draw.integers(3)], "United-States"),
        )
        lines.append(", ".join(map(str, (*cells, ">50K" if draw.random() < chance else "<=50K"))))
    tested = count // 3
    (folder / "adult.data").write_text("\n".join(lines[tested:]) + "\n\n", encoding="utf-8")
    test = "".join(f"{line}.\n" for line in lines[:tested])
    (folder / "adult.test").write_text(f"|1x3 Cross validator\n{test}\n", encoding="utf-8")
    return folder


@cache
def bank_file(count: int = 120, seed: int = 0) -> Path:
    """Write ``bank-additional-full.csv`` into a temporary folder; return the file.

    The folder is removed when the process ends.

    Args:
        count: rows.
        seed: of the rows.

    Raises:
        ValueError: no row is asked for.
    """
    folder = temporary_folder("bank", count)
    draw = np.random.Generator(np.random.PCG64(seed))
    names = (
        *("age", "job", "marital", "education", "default", "housing", "loan", "contact", "month", "day_of_week"),
        *("duration", "campaign", "pdays", "previous", "poutcome", "emp.var.rate", "cons.price.idx", "cons.conf.idx"),
        *("euribor3m", "nr.employed", "y"),
    )
    lines = [";".join(f'"{name}"' for name in names)]
    for _ in range(count):
        age, called = int(draw.integers(18, 80)), int(draw.integers(2))
        chance = 0.7 if called and age > 40 else 0.1
        texts = ('"admin."', '"married"', '"basic.4y"', '"no"', '"yes"', '"no"')
        cells = (
            *(age, *texts, ('"cellular"', '"telephone"')[draw.integers(2)], '"may"', '"mon"', draw.integers(5, 900)),
            *(draw.integers(1, 5), 3 if called else 999, called, '"success"' if called else '"nonexistent"'),
            *((1.1, -1.8)[draw.integers(2)], 93.994, -36.4, (4.857, 1.313)[draw.integers(2)], 5191),
        )
        lines.append(";".join(map(str, (*cells, '"yes"' if draw.random() < chance else '"no"'))))
    (folder / BANK_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / BANK_FILE
