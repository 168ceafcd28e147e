"""The restorer and its preprocessor, with a tiny HAT."""

import pytest
import torch
from mmengine.structures import BaseDataElement

import mm_hat  # noqa: F401
from mm_hat.models import restorer as restorer_module
from mm_hat.models.preprocessor import RestorationDataPreprocessor
from mm_hat.models.restorer import ImageRestorer
from mm_hat.models.tiling import pad_to_window
from mmrepro.engine.errors import UserError

TINY = dict(
    type="HAT",
    img_size=8,
    window_size=4,
    depths=(2,),
    embed_dim=12,
    num_heads=(2,),
    compress_ratio=3,
    squeeze_factor=6,
    conv_scale=0.5,
    drop_path_rate=0.0,
    upscale=2,
)


def tiny(**kwargs):
    torch.manual_seed(0)
    return ImageRestorer(dict(TINY), pixel_loss=dict(type="RestorationL1Loss"), **kwargs)


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (1, 2), (3, 17)])
def test_any_size_is_restored_to_its_multiple(size):
    model, image = tiny().eval(), torch.rand(2, 3, *size)
    samples = model(image, mode="predict")
    assert [sample.output.pred_img.shape for sample in samples] == [(3, 2 * size[0], 2 * size[1])] * 2
    assert not samples[0].output.pred_img.requires_grad
    whole = model(pad_to_window(image, 4), mode="tensor")
    assert torch.allclose(samples[1].output.pred_img, whole[1, :, : 2 * size[0], : 2 * size[1]])


def test_samples_keep_what_they_have_and_outputs_are_not_clamped():
    model = tiny().eval()
    with torch.no_grad():
        model.generator.conv_last.bias.add_(2)
    sample = model.predict(torch.rand(1, 3, 8, 8), [BaseDataElement(metainfo=dict(img_path="a.png"))])[0]
    assert sample.img_path == "a.png"
    assert sample.output.pred_img.max() > 1


def test_pictures_of_several_sizes_are_restored_one_by_one():
    model, pictures = tiny().eval(), [torch.rand(3, 8, 8), torch.rand(3, 5, 9)]
    batch = model.data_preprocessor(dict(inputs=pictures))
    both = model(**batch, mode="predict")
    assert [sample.output.pred_img.shape for sample in both] == [(3, 16, 16), (3, 10, 18)]
    assert torch.allclose(both[1].output.pred_img, model.restore(pictures[1][None])[0].detach(), atol=1e-6)


def test_tiles_change_the_picture_and_a_tile_as_large_as_it_does_not():
    image = torch.rand(1, 3, 20, 24)
    whole, tiled, large = (
        tiny(test_cfg=cfg).eval().predict(image)[0].output.pred_img
        for cfg in (None, dict(tile=8, tile_pad=4), dict(tile=24, tile_pad=4))
    )
    assert tiled.shape == whole.shape
    assert not torch.allclose(tiled, whole, atol=1e-4)
    assert torch.equal(large, whole)


def test_auto_takes_the_whole_picture_or_the_largest_tile_that_fits(monkeypatch):
    image, model = torch.rand(1, 3, 20, 24), tiny(test_cfg=dict(tile="auto", tile_pad=4)).eval()
    by_tile = tiny(test_cfg=dict(tile=8, tile_pad=4)).eval()
    by_tile.load_state_dict(model.state_dict())
    assert torch.equal(model.restore(image), tiny().eval().restore(image))
    result = 4 * 4 * image.numel() * 4
    monkeypatch.setattr(
        restorer_module, "available_memory", lambda device: result + (16**2 + 1) * model.bytes_per_pixel() / 0.7
    )
    assert torch.equal(model.restore(image), by_tile.restore(image))


def run_out_above(model, pixels):
    """Make a model's network run out of memory above a number of pixels; return the sizes it was asked for."""
    asked, network = [], model.generator.forward

    def forward(image):
        asked.append(tuple(image.shape[-2:]))
        if image.shape[-1] * image.shape[-2] > pixels:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return network(image)

    model.generator.forward = forward
    return asked


def test_auto_goes_on_with_smaller_tiles_where_memory_runs_out():
    model, image = tiny(test_cfg=dict(tile="auto", tile_pad=0)).eval(), torch.rand(1, 3, 16, 16)
    asked = run_out_above(model, 64)
    assert model.restore(image).shape == (1, 3, 32, 32)
    assert asked == [(16, 16)] + [(8, 8)] * 4


def test_memory_that_runs_out_is_an_error_and_no_stale_tile():
    model = tiny(test_cfg=dict(tile=8, tile_pad=0)).eval()
    run_out_above(model, 16)
    with pytest.raises(UserError, match=r"memory ran out for tiles of 8 px: set test_cfg.tile"):
        model.restore(torch.rand(1, 3, 16, 16))


@pytest.mark.parametrize(
    ("test_cfg", "message"),
    [
        (dict(tile=2), "smaller than the network's window of 4 px"),
        (dict(tile=10, tile_pad=4), "such as tile=12, overlap=4"),
        (dict(tile="big"), "tile='big', expected a number"),
        (dict(tiles=8), "test_cfg knows .*; not tiles"),
    ],
)
def test_wrong_test_settings_are_refused(test_cfg, message):
    with pytest.raises(ValueError, match=message):
        tiny(test_cfg=test_cfg)


def test_modes_and_missing_truths_are_refused_by_name():
    with pytest.raises(ValueError, match="mode='train'"):
        tiny()(torch.rand(1, 3, 8, 8), mode="train")
    with pytest.raises(ValueError, match="no 'gt_img'"):
        tiny()(torch.rand(1, 3, 8, 8), [BaseDataElement()], mode="loss")
    with pytest.raises(ValueError, match="no pixel_loss"):
        ImageRestorer(dict(TINY))(torch.rand(1, 3, 8, 8), mode="loss")


def test_bytes_become_the_unit_range_and_floats_stay():
    data = RestorationDataPreprocessor()(
        dict(
            inputs=[torch.full((3, 2, 2), 51, dtype=torch.uint8), torch.full((3, 2, 2), 0.5)],
            data_samples=[BaseDataElement(gt_img=torch.full((3, 4, 4), 255, dtype=torch.uint8)), BaseDataElement()],
        )
    )
    assert torch.allclose(data["inputs"][0], torch.tensor(0.2))
    assert (data["inputs"][1] == 0.5).all()
    assert (data["data_samples"][0].gt_img == 1).all()


def test_batches_that_cannot_be_stacked_are_refused_with_their_files():
    pictures = [torch.rand(3, 8, 8), torch.rand(3, 8, 4)]
    samples = [BaseDataElement(metainfo=dict(img_path=f"{name}.png")) for name in "ab"]
    with pytest.raises(ValueError, match=r"several sizes.*a.png: \(3, 8, 8\), b.png: \(3, 8, 4\)"):
        RestorationDataPreprocessor()(dict(inputs=pictures, data_samples=samples), training=True)
    with pytest.raises(KeyError, match="needs 'inputs'"):
        RestorationDataPreprocessor()(dict(img=pictures))
    with pytest.raises(TypeError, match="int64"):
        RestorationDataPreprocessor()(dict(inputs=[torch.zeros(3, 2, 2, dtype=torch.long)]))
