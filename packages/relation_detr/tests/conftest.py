"""mmdet needs the operators that importing this package serves, so it comes first."""

import mm_relation_detr  # noqa: F401
