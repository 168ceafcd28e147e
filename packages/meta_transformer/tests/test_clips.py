"""Clips: which frames are read, the same draw for all of them, views, mixing, and their mean at test."""

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from mm_meta_transformer.datasets import load_clip
from mm_meta_transformer.datasets.clip_views import CropViews, StackFrames
from mm_meta_transformer.datasets.every_frame import EveryFrame
from mm_meta_transformer.datasets.generated_pictures import GeneratedClips
from mm_meta_transformer.datasets.load_clip import LoadClip, decode
from mm_meta_transformer.models.clip_data_preprocessor import ClipDataPreprocessor
from mmrepro.datasets.generated.clips import write_clip


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A film whose frame ``n`` has the brightness ``10 n``."""
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    write_clip(path, np.stack([np.full((32, 48, 3), 10 * number, np.uint8) for number in range(20)]))
    return str(path)


def numbers(frames):
    return [round(float(frame.mean()) / 10) for frame in frames]


def test_frames_are_read_at_their_stride(film):
    middle = LoadClip(num_frames=4, stride=3)({"img_path": film})
    assert numbers(middle["frames"]) == [5, 8, 11, 14]
    assert "repairs" not in middle
    three = LoadClip(num_frames=2, stride=2, num_clips=3)({"img_path": film})
    assert numbers(three["frames"]) == [0, 2, 8, 10, 17, 19]


def test_only_the_frames_of_a_clip_are_converted(film, monkeypatch):
    converted, rgb = [], load_clip._rgb
    monkeypatch.setattr(load_clip, "_rgb", lambda frame: converted.append(frame) or rgb(frame))
    found = LoadClip(num_frames=4, stride=3)({"img_path": film})["frames"]
    assert len(converted) == 4
    everything = decode(film)
    assert load_clip.count_frames(film) == len(everything) == 20
    assert all(np.array_equal(frame, everything[at]) for frame, at in zip(found, (5, 8, 11, 14), strict=True))


def test_a_file_that_ends_early_gives_its_last_frame_again(film):
    found, last = load_clip.decode_some(film, {3, 25})
    assert numbers([found[3], found[25]]) == [3, 19]
    assert last == 19
    assert load_clip.decode_some(film, {3, 7})[1] == 7


def test_what_a_damaged_file_lacks_is_counted(film, monkeypatch):
    monkeypatch.setattr(load_clip, "count_frames", lambda path: 30)  # as its packets say
    found = LoadClip(num_frames=4, stride=5, num_clips=1)({"img_path": film})
    assert numbers(found["frames"]) == [7, 12, 17, 19]
    assert found["repairs"] == ["1 frames repeated"]


def test_a_clip_in_training_starts_anywhere():
    video = [np.full((1, 1, 3), 10 * number) for number in range(20)]
    np.random.seed(0)  # noqa: NPY002  what the steps draw from
    load = LoadClip(num_frames=2, stride=9, random=True)
    assert {numbers(load({"video": video})["frames"])[0] for _ in range(60)} == set(range(11))


def test_a_short_file_gives_its_last_frame_again_and_says_how_often(film):
    found = LoadClip(num_frames=4, stride=8)({"img_path": film})
    assert numbers(found["frames"]) == [0, 8, 16, 19]
    assert found["repairs"] == ["1 frames repeated"]
    cut = LoadClip(num_frames=4, stride=8)({"video": decode(film)[:10], "repairs": ["resized"]})
    assert cut["repairs"] == ["resized", "2 frames repeated"]


def test_a_file_that_is_no_video_is_named(tmp_path, film):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    for path in (broken, tmp_path / "none.mp4"):
        with pytest.raises(ValueError, match=rf"{path.name} cannot be read as a video: .*Fix: take its line"):
            decode(str(path))
        with pytest.raises(ValueError, match=rf"{path.name} cannot be read as a video: .*Fix: take its line"):
            LoadClip()({"img_path": str(path)})
    with pytest.raises(ValueError, match="random takes one clip"):
        LoadClip(num_clips=2, random=True)


def test_every_frame_is_cut_at_the_same_place():
    frame = np.arange(40 * 40 * 3).reshape(40, 40, 3).astype(np.float32)
    step = EveryFrame([dict(type="RandomCrop", crop_size=8), dict(type="RandomFlip", prob=0.5)])
    np.random.seed(0)  # noqa: NPY002  what the steps draw from
    cuts = [step({"frames": [frame.copy() for _ in range(3)]})["frames"] for _ in range(2)]
    assert all(np.array_equal(cuts[0][0], one) for one in cuts[0])
    assert not np.array_equal(cuts[0][0], cuts[1][0])  # the next clip is cut elsewhere


def test_crops_go_along_the_long_side_and_get_an_axis():
    wide = np.tile(np.arange(10, dtype=np.uint8)[None, :, None], (4, 1, 3))
    results = CropViews(3)({"frames": [wide, wide + 100]})
    assert [int(frame[0, 0, 0]) for frame in results["frames"]] == [0, 100, 3, 103, 6, 106]
    clip = StackFrames(2, views=True)(results)["clip"]
    assert clip.shape == (3, 3, 2, 4, 4)
    assert clip[1, 0, :, 0, 0].tolist() == [3, 103]
    tall = CropViews(1)({"frames": [wide.transpose(1, 0, 2)]})
    assert StackFrames(1)(tall)["clip"].shape == (3, 1, 4, 4)
    with pytest.raises(ValueError, match=r"there are 3 views. Fix: views=True"):
        StackFrames(1)(CropViews(3)({"frames": [wide]}))
    with pytest.raises(ValueError, match=r"of sizes .*resize them before"):
        StackFrames(2)({"frames": [wide, wide[:2]]})


def test_clips_are_normed_by_channel_and_cut_by_one_box_in_all_frames():
    plain = ClipDataPreprocessor(mean=[10, 20, 30], std=[1, 2, 4])
    clip = torch.stack([torch.full((2, 4, 4), value, dtype=torch.uint8) for value in (11, 24, 42)])
    found = plain({"inputs": [clip, clip], "data_samples": None})["inputs"]
    assert found.shape == (2, 3, 2, 4, 4)
    assert found[1, :, 0, 0, 0].tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match=r"a clip is .*4, 4\) in sample 1 of the batch and .*8, 8\) in sample 0 of"):
        plain({"inputs": [torch.ones(3, 2, 8, 8), clip], "data_samples": None})
    mixing = dict(augments=[dict(type="CutMix", alpha=1.0)])
    mixed = ClipDataPreprocessor(mean=[0] * 3, std=[1] * 3, num_classes=2, batch_augments=mixing)
    np.random.seed(3)  # noqa: NPY002  what the steps draw from
    torch.manual_seed(1)
    clips = [torch.full((3, 2, 8, 8), value, dtype=torch.uint8) for value in (0, 1)]
    batch = mixed({"inputs": clips, "data_samples": [DataSample().set_gt_label(at) for at in (0, 1)]}, training=True)
    one = batch["inputs"][0]
    assert torch.equal(one, one[:1, :1].expand_as(one))
    share = one.mean().item()
    assert 0 < share < 1
    assert batch["data_samples"][0].gt_score.tolist() == pytest.approx([1 - share, share])


def test_views_are_averaged_by_their_scores():
    torch.manual_seed(0)
    config = dict(
        type="MultiViewClassifier",
        tokenizer=dict(type="VideoTokenizer", num_frames=2, img_size=4, patch_size=4),
        encoder=dict(type="MetaTransformerEncoder", arch=dict(embed_dims=8, depth=1, num_heads=2)),
        pooling="mean",
        head=dict(type="MetaLinearHead", num_classes=3),
    )
    model, views = MODELS.build(config), torch.randn(2, 5, 3, 2, 4, 4)
    torch.nn.init.normal_(model.head.fc.weight)
    found = torch.stack([sample.pred_score for sample in model.predict(views)])
    single = [torch.stack([one.pred_score for one in model.predict(views[:, view])]) for view in range(5)]
    torch.testing.assert_close(found, torch.stack(single).mean(0))


def test_lists_of_clips_are_read():
    clips = GeneratedClips("val", generate=dict(train=6, val=6, frames=4, size=16), pipeline=[], serialize_data=False)
    assert len(clips) == 6
    assert clips.get_data_info(3)["gt_label"] == 3
    assert len(decode(clips.get_data_info(0)["img_path"])) == 4
