"""Importing the package: what it gives, and what it says where a library is missing."""

import runpy
import sys

import pytest
from mmdet.registry import DATASETS, HOOKS, METRICS, MODELS
from mmengine.registry import INFERENCERS

import mm_vidt


@pytest.mark.parametrize("name", ["mmengine", "mmdet"])
def test_a_missing_library_is_named_with_the_command(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not there
    message = rf"needs mmengine and mmdet; {name} cannot be imported: pip install"
    with pytest.raises(ImportError, match=message):
        runpy.run_path(mm_vidt.__file__)


def test_what_is_at_the_top_is_there():
    assert {"RawPrediction", "ViDTInferencer"} <= set(mm_vidt.__all__)
    assert all(hasattr(mm_vidt, name) for name in mm_vidt.__all__)


def test_the_cores_data_sets_and_metrics_are_those_of_both_formats():
    kinds = mm_vidt.datasets.DetrCocoDataset, mm_vidt.datasets.DetrVocDataset
    kinds += mm_vidt.evaluation.DetrCocoMetric, mm_vidt.evaluation.DetrVocMetric
    assert all(kind.__module__.startswith("mmrepro.detection") for kind in kinds)


@pytest.mark.parametrize(
    ("registry", "name"),
    [
        (MODELS, "ViDT"),
        (MODELS, "ViDTNeckFree"),
        (MODELS, "ViDTDistiller"),
        (MODELS, "ViDTSwinTransformer"),
        (MODELS, "ViDTCoaT"),
        (MODELS, "EPFF"),
        (HOOKS, "ViDTCheckpointHook"),
        (DATASETS, "DetrVocDataset"),
        (METRICS, "DetrCocoMetric"),
        (METRICS, "CommonPlacesVocMetric"),
        (INFERENCERS, "ViDTInferencer"),
    ],
)
def test_configs_find_what_they_name(registry, name):
    assert registry.get(name).__name__ == name
