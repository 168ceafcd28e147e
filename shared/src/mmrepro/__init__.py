"""mmrepro: the shared core of seven transformer papers built as OpenMMLab plugins.

Importing this module costs nothing: it needs only the standard library.
"""

__version__ = "0.1.0"
