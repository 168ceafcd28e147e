"""A folder of pictures and a folder of label maps: the simplest form of one's own segmentation data."""

from __future__ import annotations

from collections import defaultdict
from pathlib import PurePosixPath
from typing import Any

from mmengine.fileio import exists, isdir, list_dir_or_file, list_from_file
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mm_vit_comer.datasets.label_rules import LabelError
from mmrepro.datasets.registry import PICTURE_SUFFIXES

_SHOWN = 5


@DATASETS.register_module()
class FolderSegDataset(BaseSegDataset):
    """Pictures of any format with label maps of the same names; sub-folders are searched too.

    mmsegmentation's own takes one suffix of pictures, and finds none, without a word, where they have another; a label
    map that is missing stops training when it is drawn.

    Args:
        ann_file: a text file with a name on each line, with or without suffix, of the pictures to take; empty for all.
        **kwargs: of mmsegmentation's ``BaseSegDataset``: ``data_root``, ``data_prefix=dict(img_path=...,
            seg_map_path=...)``, ``seg_map_suffix`` (``.png``), ``metainfo=dict(classes=(...))``, ``reduce_zero_label``.

    Raises:
        LabelError: the classes have no names, a folder is missing or empty, or pictures have no label map.
    """

    def __init__(self, ann_file: str = "", **kwargs: Any) -> None:
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Pair the files."""
        if not self._metainfo.get("classes"):
            raise LabelError(
                "the classes have no names. Fix: metainfo=dict(classes=('first', 'second', ...)) in the order of the "
                "label maps' values"
            )
        pictures, masks = self._files("img_path", PICTURE_SUFFIXES), None
        if self.data_prefix.get("seg_map_path"):
            masks = self._files("seg_map_path", (self.seg_map_suffix,))
            self._require_masks(pictures, masks)
        names = self._wanted(pictures)
        return [self._entry(pictures[name], masks and masks[name]) for name in names]

    def _files(self, prefix: str, suffixes: tuple[str, ...]) -> dict[str, str]:
        """Return the paths below a folder by their names in it, without suffix."""
        folder = self.data_prefix.get(prefix) or ""
        if not isdir(folder, backend_args=self.backend_args):
            raise LabelError(f"there is no folder {folder!r}. Fix: data_root and data_prefix=dict({prefix}=...)")
        found = defaultdict(list)
        for name in sorted(list_dir_or_file(folder, list_dir=False, recursive=True, backend_args=self.backend_args)):
            for suffix in suffixes:
                if name.lower().endswith(suffix.lower()):
                    found[name[: -len(suffix)]].append(f"{folder.rstrip('/')}/{name}")
                    break
        if not found:
            raise LabelError(f"{folder} has no file that ends in {' or '.join(suffixes)}. Fix: give the right folder")
        twice = [paths for paths in found.values() if len(paths) > 1]
        if twice:
            raise LabelError(f"{' and '.join(twice[0])} have the same name. Fix: keep one of them")
        return {name: path for name, (path,) in found.items()}

    def _require_masks(self, pictures: dict[str, str], masks: dict[str, str]) -> None:
        missing = [path for name, path in pictures.items() if name not in masks]
        if missing:
            folder = self.data_prefix["seg_map_path"]
            raise LabelError(
                f"{len(missing)} of {len(pictures)} pictures have no label map in {folder}, such as "
                f"{', '.join(missing[:_SHOWN])}. Fix: a file of the same name that ends in {self.seg_map_suffix}; "
                "seg_map_suffix='_mask.png' where names have an ending of their own"
            )
        alone = [path for name, path in masks.items() if name not in pictures]
        if alone:
            print_log(
                f"{len(alone)} label maps have no picture and are not used, such as {alone[0]}", "current", level=30
            )

    def _wanted(self, pictures: dict[str, str]) -> list[str]:
        if not self.ann_file:
            return list(pictures)
        if not exists(self.ann_file, backend_args=self.backend_args):
            raise LabelError(f"there is no list {self.ann_file}. Fix: ann_file='' for all pictures")
        wanted = []
        for line in list_from_file(self.ann_file, backend_args=self.backend_args):
            if name := line.strip():
                path = PurePosixPath(name)
                wanted.append(str(path.with_suffix("")) if path.suffix.lower() in PICTURE_SUFFIXES else name)
        unknown = [name for name in wanted if name not in pictures]
        if unknown or not wanted:
            what = f"names {unknown[0]}, which is no picture of" if unknown else "names no picture of"
            raise LabelError(f"{self.ann_file} {what} {self.data_prefix['img_path']}. Fix: correct the list")
        return wanted

    def _entry(self, picture: str, mask: str | None) -> dict:
        entry = dict(
            img_path=picture, label_map=self.label_map, reduce_zero_label=self.reduce_zero_label, seg_fields=[]
        )
        return entry if mask is None else dict(entry, seg_map_path=mask)
