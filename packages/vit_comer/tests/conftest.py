"""mmdet needs the operators that importing this package serves, so it comes first."""

import mm_vit_comer  # noqa: F401
