"""The restorer and its preprocessor, with a tiny HAT."""

import pytest
import torch
from mmengine.structures import BaseDataElement

import mm_hat  # noqa: F401
from mm_hat.models import restorer as restorer_module
from mm_hat.models.preprocessor import RestorationDataPreprocessor
from mm_hat.models.restorer import ImageRestorer, Plan
from mm_hat.models.strips import bytes_in_strips
from mm_hat.models.tiling import SHARE, pad_to_window
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


def test_auto_takes_the_whole_picture_or_strips_or_the_largest_tile_that_fits(monkeypatch):
    image, model = torch.rand(1, 3, 20, 24), tiny(test_cfg=dict(tile="auto", tile_pad=4)).eval()
    whole, by_tile = (tiny(test_cfg=cfg).eval().restore(image) for cfg in (None, dict(tile=8, tile_pad=4)))
    for memory, plan in (
        (20 * 24 * model.bytes_per_pixel() + 1, Plan()),
        (bytes_in_strips(model.generator, (20, 24), 4) + 1, Plan(rows=4)),
        ((16**2 + 1) * model.bytes_per_pixel(), Plan(tile=8)),
    ):
        free = memory / SHARE + (0 if plan.rows else 4 * 4 * image.numel() * 4)  # beside the result
        monkeypatch.setattr(restorer_module, "available_memory", lambda device, free=free: free)
        if plan.tile:
            monkeypatch.setattr(restorer_module, "rows_for", lambda *args: None)
        assert model._plan(image) == plan
        torch.testing.assert_close(model.restore(image), by_tile if plan.tile else whole, rtol=0, atol=1e-6)


def test_exact_is_the_whole_picture_in_strips_and_reports_its_steps(monkeypatch):
    image, steps, rows = torch.rand(2, 3, 10, 150), [], []
    run = restorer_module.restore_in_strips
    monkeypatch.setattr(restorer_module, "restore_in_strips", lambda n, x, r, p: rows.append(r) or run(n, x, r, p))
    monkeypatch.setattr(restorer_module, "STRIP_PIXELS", {"cpu": 500})
    exact, whole = (tiny(test_cfg=cfg).eval() for cfg in (dict(tile="exact"), None))
    restored = exact.restore(image, lambda done, of: steps.append((done, of)))
    torch.testing.assert_close(restored, whole.restore(image), rtol=0, atol=1e-6)
    assert rows == [4]
    assert steps == [(i, 4) for i in range(1, 5)]  # two hybrid blocks, an overlapping one, the head


def test_exact_needs_a_network_of_blocks():
    with pytest.raises(ValueError, match="tile='exact' is for HAT, not BicubicUpscaler"):
        ImageRestorer(dict(type="BicubicUpscaler", upscale=2), test_cfg=dict(tile="exact"))


def run_out_above(model, monkeypatch, pixels, error=None):
    """Make a model run out of memory above a number of pixels at once; return the sizes it was asked for."""
    asked, network, run = [], model.generator.forward, restorer_module.restore_in_strips

    def need(height, width):
        asked.append((height, width))
        if height * width > pixels:
            raise error or torch.cuda.OutOfMemoryError("CUDA out of memory")

    def forward(image):
        need(*image.shape[-2:])
        return network(image)

    def in_strips(network, image, rows, progress):
        need(rows, image.shape[-1])
        return run(network, image, rows, progress)

    model.generator.forward = forward
    monkeypatch.setattr(restorer_module, "restore_in_strips", in_strips)
    return asked


def test_auto_goes_on_with_strips_where_memory_runs_out(monkeypatch):
    model, image = tiny(test_cfg=dict(tile="auto", tile_pad=0)).eval(), torch.rand(1, 3, 16, 16)
    asked = run_out_above(model, monkeypatch, 64, RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    torch.testing.assert_close(model.restore(image), tiny().eval().restore(image), rtol=0, atol=1e-6)
    assert asked == [(16, 16), (8, 16), (4, 16)]


def test_auto_goes_on_with_smaller_tiles_where_memory_runs_out_for_strips(monkeypatch):
    model, image = tiny(test_cfg=dict(tile="auto", tile_pad=0)).eval(), torch.rand(1, 3, 16, 32)
    asked = run_out_above(model, monkeypatch, 64)
    assert model.restore(image).shape == (1, 3, 32, 64)
    assert asked == [(16, 32), (8, 32), (4, 32), (16, 16)] + [(8, 8)] * 8


@pytest.mark.parametrize(
    ("tile", "what", "fix"),
    [
        (None, "a picture of 16x16 px, the whole picture at once", "test_cfg.tile='auto'$"),
        (8, "tiles of 8 px", "smaller tiles, or test_cfg.tile='auto'$"),
        ("exact", "strips of 4 rows", "test_cfg.tile='auto', which may change the result, or a smaller picture$"),
        ("auto", "tiles of 4 px", "a smaller tile_pad, or free memory$"),
    ],
)
def test_memory_that_runs_out_is_an_error_with_another_setting_and_no_stale_tile(monkeypatch, tile, what, fix):
    model = tiny(test_cfg=dict(tile=tile, tile_pad=0)).eval()
    run_out_above(model, monkeypatch, 15)
    with pytest.raises(UserError, match=rf"memory ran out .*{what}. Fix: {fix}"):
        model.restore(torch.rand(1, 3, 16, 16))


def test_a_picture_of_which_not_even_a_tile_fits_is_an_error(monkeypatch):
    monkeypatch.setattr(restorer_module, "available_memory", lambda device: 0)
    model = tiny(test_cfg=dict(tile="auto", tile_pad=4)).eval()
    with pytest.raises(
        UserError,
        match=r"a picture of 16x16 px: 0 MiB are free beside the result, the smallest tile .* lower the overlap",
    ):
        model.restore(torch.rand(1, 3, 16, 16))


def test_a_plan_that_memory_forces_is_said(monkeypatch):
    said = []
    monkeypatch.setattr(restorer_module, "print_log", lambda text, *_: said.append(text))
    image, auto = torch.rand(1, 3, 16, 16), tiny(test_cfg=dict(tile="auto", tile_pad=0)).eval()
    monkeypatch.setattr(restorer_module, "rows_for", lambda *_: None)
    assert auto._plan(image) == Plan()
    assert not said
    free = 70 * auto.bytes_per_pixel() / SHARE + 4 * 4 * image.numel() * 4
    monkeypatch.setattr(restorer_module, "available_memory", lambda device: free)
    assert auto._plan(image) == Plan(tile=8)
    assert tiny(test_cfg=dict(tile="exact"))._plan(image) == Plan(rows=4)
    assert said == [
        "too little memory for the whole picture at once: tiles of 8 px, which changes the result",
        "the memory seems too small even for strips of one row of windows: trying those",
    ]


def test_other_faults_of_the_network_are_not_taken_for_memory(monkeypatch):
    model = tiny(test_cfg=dict(tile="auto", tile_pad=0)).eval()
    run_out_above(model, monkeypatch, 16, RuntimeError("a fault"))
    with pytest.raises(RuntimeError, match="a fault"):
        model.restore(torch.rand(1, 3, 16, 16))


@pytest.mark.parametrize(
    ("test_cfg", "message"),
    [
        (dict(tile=2), "smaller than the network's window of 4 px"),
        (dict(tile=10, tile_pad=4), "such as tile=12, overlap=4"),
        (dict(tile=8, tile_pad=4, feather=9), "feather=9 px: from 0 to 8"),
        (dict(tile="big"), "tile='big', expected a number"),
        (dict(tiles=8), "test_cfg knows .*; not tiles"),
        (dict(tile_batch=0), "tile_batch=0, expected at least 1"),
    ],
)
def test_wrong_test_settings_are_refused(test_cfg, message):
    with pytest.raises(ValueError, match=message):
        tiny(test_cfg=test_cfg)


def test_train_settings_are_refused_by_name():
    with pytest.raises(ValueError, match="train_cfg of ImageRestorer knows nothing here; not disc_steps"):
        tiny(train_cfg=dict(disc_steps=1))


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
