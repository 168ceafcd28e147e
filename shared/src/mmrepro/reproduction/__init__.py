"""From reported numbers to verdicts: rows, the four tiers, runs, the ledger, tables and reports.

``rows`` reads what a paper reports, ``complexity``, ``parity`` and ``runs`` measure, ``ledger`` remembers,
``verdicts`` compares, ``tables`` and ``report`` show. ``reproduce`` ties them together.
"""
