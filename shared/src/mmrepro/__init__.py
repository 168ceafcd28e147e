"""mmrepro: the shared core of seven transformer papers built as OpenMMLab plugins.

Importing this module costs nothing: it needs only the standard library. It makes ``mmcv._ext`` importable where mmcv
was installed without its compiled operators (:mod:`mmrepro.ops.finder`).
"""

from mmrepro.ops import finder

__version__ = "0.1.0"

finder.install()
