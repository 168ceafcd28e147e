"""What code under measurement raises when it is wrong: its row has failed, and the others still run."""

FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,  # a config's
    TypeError,
    ValueError,
)
