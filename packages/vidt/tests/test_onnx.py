"""The box model as an ONNX file: onnxruntime's outputs on the CPU are torch's."""

from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy

from mm_vidt import RawPrediction
from mmrepro.testing import SplitAdapter

small = SplitAdapter(Path(__file__).resolve().parent, {}).part("small_detectors")
SIZE = (72, 96)
EXPORTED = ["plus", "coat", "neck-free"]


@pytest.mark.parametrize("name", EXPORTED)
@pytest.mark.filterwarnings("ignore")  # of the exporter about itself and about sizes that become constants
def test_any_number_of_pictures_runs_in_onnxruntime(tmp_path, name):
    """Exported as the README does: with one picture."""
    onnx, onnxruntime = (
        pytest.importorskip(name, reason="predicting does not need it, so an install of this package alone lacks it")
        for name in ("onnx", "onnxruntime")
    )
    raw, file = RawPrediction(small.built(small.settings(name))).eval(), tmp_path / "detector.onnx"
    torch.onnx.export(
        raw,
        (torch.randn(1, 3, *SIZE),),
        str(file),
        opset_version=16,
        dynamo=False,
        input_names=["images"],
        output_names=["logits", "boxes"],
        dynamic_axes=dict(images={0: "batch"}),
    )
    assert not {node.domain for node in onnx.load(file).graph.node} - {"", "ai.onnx"}  # no operators of ours
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    for batch in (1, 2):
        images = torch.randn(batch, 3, *SIZE)  # others than those exported with
        with torch.no_grad():
            expected = raw(images)
        found = session.run(None, {"images": images.numpy()})
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(one), other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", [*EXPORTED, "boxes"])
def test_it_is_what_the_detector_predicts_of_a_picture_without_padding(name):
    raw = RawPrediction(small.built(small.settings(name))).eval()
    images = torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        logits, boxes = raw(images)
        samples = [DetDataSample(metainfo=dict(img_shape=SIZE, ori_shape=SIZE)) for _ in images]
        found = raw.model.predict(images, samples)
    corners = bbox_cxcywh_to_xyxy(boxes) * torch.tensor([SIZE[1], SIZE[0]] * 2)
    for image, sample in enumerate(found):
        instances = sample.pred_instances
        if name == "neck-free":
            scores, queries = logits[image].softmax(-1)[:, :-1].max(-1).values, torch.arange(small.QUERIES)
        else:
            scores, places = logits[image].sigmoid().flatten().topk(10)
            queries = places // small.CLASSES
        torch.testing.assert_close(instances.scores, scores)
        torch.testing.assert_close(instances.bboxes, corners[image, queries])
