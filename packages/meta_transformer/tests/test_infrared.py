"""RegDB's lists, the retrieval head and its metric, and the smallest real pictures."""

import pytest
import torch
from mmpretrain.structures import DataSample

from mm_meta_transformer.datasets.digits import ScikitDigits
from mm_meta_transformer.datasets.generated_pictures import GeneratedRegDB
from mm_meta_transformer.datasets.regdb import RegDB
from mm_meta_transformer.evaluation.retrieval_metric import CrossCameraRetrieval, retrieval
from mm_meta_transformer.models.retrieval_head import MetaRetrievalHead

FEW = dict(train=2, test=3, pictures=2, size=16)


def test_a_sample_has_person_and_camera():
    plain = dict(generate=FEW, pipeline=[], serialize_data=False)  # serialising collects all of Python's garbage
    train, test = (GeneratedRegDB(part, **plain) for part in ("train", "test"))
    assert (len(train), len(test)) == (8, 12)
    assert [train.get_data_info(at)["camera"] for at in (0, 7)] == ["visible", "thermal"]
    assert sorted({test.get_data_info(at)["gt_label"] for at in range(12)}) == [0, 1, 2]
    thermal = GeneratedRegDB("test", cameras=["thermal"], **plain)
    assert len(thermal) == 6


def test_a_broken_list_is_named_with_its_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train_visible_2\.txt is not there. Fix: data_root"):
        RegDB(str(tmp_path), trial=2)
    (tmp_path / "idx").mkdir()
    (tmp_path / "idx" / "test_visible_1.txt").write_text("Visible/1/a.bmp 0\n\nVisible/b.bmp\n")
    with pytest.raises(ValueError, match=r"test_visible_1\.txt, line 3: 'Visible/b.bmp' is not '<path> <label>'"):
        RegDB(str(tmp_path), part="test")
    with pytest.raises(ValueError, match="part='val' must be"):
        RegDB(str(tmp_path), part="val")


def test_ranks_and_mean_average_precision():
    similarity = torch.tensor([[0.9, 0.8, 0.7, 0.1], [0.1, 0.9, 0.2, 0.8]])
    found = retrieval(similarity, torch.tensor([0, 1]), torch.tensor([1, 0, 0, 1]), (1, 2))
    assert found["rank1"] == 0
    assert found["rank2"] == 100
    first, second = (1 / 2 + 2 / 3) / 2, (1 / 2 + 2 / 4) / 2
    assert found["mAP"] == pytest.approx(50 * (first + second))
    with pytest.raises(ValueError, match=r"persons \[5\] have queries and no picture"):
        retrieval(similarity, torch.tensor([0, 5]), torch.tensor([1, 0, 0, 1]), (1,))


def test_queries_are_of_one_camera_and_the_gallery_of_the_other():
    metric = CrossCameraRetrieval(ranks=(1,))
    for camera, label, feature in (("visible", 0, [1.0, 0.0]), ("thermal", 0, [0.9, 0.1]), ("thermal", 1, [0.0, 1.0])):
        sample = {"pred_feature": torch.tensor(feature), "gt_label": torch.tensor([label]), "camera": camera}
        metric.process(None, [sample])
    assert metric.evaluate(3) == {"retrieval/rank1": 100.0, "retrieval/mAP": 100.0}
    metric.process(None, [sample])
    with pytest.raises(ValueError, match=r"no picture is of camera 'visible'; the test set has \['thermal'\]"):
        metric.evaluate(1)


def test_the_head_compares_angles():
    torch.manual_seed(0)
    head, features = MetaRetrievalHead(4, 8, scale=5.0), torch.randn(3, 8)
    torch.nn.init.normal_(head.fc.weight)
    expected = 5 * torch.cosine_similarity(features[:, None], head.fc.weight[None], dim=-1)
    torch.testing.assert_close(head(features), expected)
    samples = head.predict(features, [DataSample() for _ in features])
    torch.testing.assert_close(samples[1].pred_feature, features[1] / features[1].norm())
    assert set(head.state_dict()) == {"fc.weight"}


def test_digits_are_split_by_the_seed_without_overlap():
    train, test = (ScikitDigits(part, pipeline=[]) for part in ("train", "test"))
    assert (len(train), len(test)) == (1437, 360)
    sample = test.get_data_info(0)
    assert (sample["img"].shape, sample["img"].dtype.name) == ((1, 8, 8), "float32")
    keys = [{one.get_data_info(at)["img"].tobytes() for at in range(len(one))} for one in (train, test)]
    assert len(keys[0] & keys[1]) < 5  # a few scans are equal pixel by pixel
    other = ScikitDigits("test", seed=1, pipeline=[], count=5)
    assert len(other) == 5
    assert other.get_data_info(0)["img"].tobytes() != sample["img"].tobytes()
    with pytest.raises(ValueError, match="part='val'"):
        ScikitDigits("val", pipeline=[])
