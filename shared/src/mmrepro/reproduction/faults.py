"""Why a row has no result: something is not here, or the code under measurement is wrong; the others still run."""


class NotRunError(RuntimeError):
    """Something that a tier needs is not here; the message says what."""


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
