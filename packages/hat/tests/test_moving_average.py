"""The moving average and both kinds of training under mmengine's runner, cut and resumed, with a tiny HAT."""

import copy

import torch
from mmengine.runner import CheckpointLoader, Runner
from mmengine.structures import BaseDataElement
from torch.utils.data import Dataset

import mm_hat  # noqa: F401
from mm_hat.hooks import BasicSREMAHook
from mm_hat.models.real_hat_gan import RealHATGAN
from mm_hat.models.restorer import ImageRestorer

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


def tiny():
    torch.manual_seed(0)
    return ImageRestorer(dict(TINY), pixel_loss=dict(type="RestorationL1Loss"))


def tiny_gan():
    torch.manual_seed(0)
    discriminator = dict(type="UNetDiscriminatorWithSpectralNorm", num_in_ch=3, num_feat=4)
    return RealHATGAN(dict(TINY), discriminator, pixel_loss=dict(type="RestorationL1Loss"))


class Pairs(Dataset):
    """Eight random pairs, as the data sets' last transform leaves them."""

    metainfo: dict = {}  # noqa: RUF012

    def __len__(self):
        return 8

    def __getitem__(self, i):
        random = torch.Generator().manual_seed(i)
        picture = torch.randint(0, 256, (3, 16, 16), generator=random, dtype=torch.uint8)
        sample = BaseDataElement(metainfo=dict(img_path=f"{i}.png"), gt_img=picture)
        return dict(inputs=picture[:, ::2, ::2].contiguous(), data_samples=sample)


def make_runner(work_dir, model, max_iters=4, hooks=None, optim_wrapper=None, **kwargs):
    return Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(batch_size=2, sampler=dict(type="InfiniteSampler", shuffle=False), dataset=Pairs()),
        train_cfg=dict(by_epoch=False, max_iters=max_iters, val_interval=10**9),
        optim_wrapper=optim_wrapper or dict(optimizer=dict(type="Adam", lr=1e-3, betas=(0.9, 0.99))),
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=2, save_last=True)),
        custom_hooks=[dict(type="BasicSREMAHook", momentum=0.25)] if hooks is None else hooks,
        log_level="ERROR",
        experiment_name=f"{work_dir.name}_{max_iters}_{kwargs.get('resume', False)}",
        **kwargs,
    )


def load(path):
    return CheckpointLoader.load_checkpoint(str(path), map_location="cpu")


class Recorder(BasicSREMAHook):
    """Keeps the generator's weights after every step."""

    def before_train(self, runner):
        super().before_train(runner)
        self.weights = [copy.deepcopy(self.src_model.state_dict())]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        self.weights.append(copy.deepcopy(self.src_model.state_dict()))


def test_the_average_starts_before_the_first_step_and_is_what_a_checkpoint_publishes(tmp_path):
    recorder = Recorder(momentum=0.25)
    make_runner(tmp_path, tiny(), hooks=[recorder]).train()
    first, *later = [weights["conv_last.bias"] for weights in recorder.weights]
    average = first
    for weight in later:
        average = 0.75 * average + 0.25 * weight
    saved = load(tmp_path / "iter_4.pth")
    assert torch.allclose(saved["state_dict"]["generator.conv_last.bias"], average, atol=1e-7)
    assert torch.equal(saved["ema_state_dict"]["module.conv_last.bias"], later[-1])
    assert saved["ema_state_dict"]["steps"] == 5


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    whole = make_runner(tmp_path / "whole", tiny())
    whole.train()
    make_runner(tmp_path / "cut", tiny(), max_iters=2).train()
    cut = str(tmp_path / "cut/iter_2.pth")
    make_runner(tmp_path / "cut", tiny(), resume=True, load_from=cut).train()
    files = [load(tmp_path / name / "iter_4.pth") for name in ("whole", "cut")]
    for part in ("state_dict", "ema_state_dict"):
        assert all(torch.equal(value, files[1][part][key]) for key, value in files[0][part].items())


def test_loaded_weights_are_where_the_average_starts(tmp_path):
    model = tiny()
    state = {key: value + 0.01 for key, value in model.state_dict().items()}
    missing = state.pop("generator.conv_last.bias")
    torch.save(dict(state_dict=state), tmp_path / "start.pth")
    hook = Recorder(momentum=0.25)
    make_runner(tmp_path, model, max_iters=1, hooks=[hook], load_from=str(tmp_path / "start.pth")).train()
    start, end = (weights["norm.weight"] for weights in hook.weights)
    average = hook.ema_model.module.state_dict()
    assert torch.equal(start, state["generator.norm.weight"])
    assert torch.allclose(average["norm.weight"], 0.75 * start + 0.25 * end)
    assert torch.allclose(average["conv_last.bias"], 0.75 * (missing - 0.01) + 0.25 * hook.weights[1]["conv_last.bias"])


def test_predictions_in_validation_are_the_averages(tmp_path):
    model, hook = tiny(), Recorder(momentum=0.25)
    runner = make_runner(tmp_path, model, hooks=[hook])
    runner.train()
    image = torch.rand(1, 3, 8, 8)
    trained = model.eval().predict(image)[0].output.pred_img
    hook.before_val_epoch(runner)
    averaged = model.eval().predict(image)[0].output.pred_img
    hook.after_val_epoch(runner)
    assert not torch.allclose(averaged, trained, atol=1e-6)
    assert torch.equal(model.eval().predict(image)[0].output.pred_img, trained)


def test_of_a_gan_only_the_generator_is_averaged_and_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    part = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-3))
    optim = dict(constructor="MultiOptimWrapperConstructor", generator=part, discriminator=dict(part))
    # end: mmengine writes max_iters there, and into the checkpoint; the run that is cut has a smaller one
    schedule = dict(type="MultiStepLR", by_epoch=False, milestones=[3], gamma=0.5, end=4)

    def run(name, max_iters, **kwargs):
        runner = make_runner(
            tmp_path / name, tiny_gan(), max_iters, None, copy.deepcopy(optim), param_scheduler=dict(schedule), **kwargs
        )
        runner.train()
        return load(tmp_path / name / f"iter_{max_iters}.pth")

    whole = run("whole", 4)
    assert not [key for key in whole["ema_state_dict"] if "discriminator" in key]
    assert whole["optimizer"]["generator"]["param_groups"][0]["lr"] == 5e-4
    run("cut", 2)
    again = run("cut", 4, resume=True, load_from=str(tmp_path / "cut/iter_2.pth"))
    for name in ("state_dict", "ema_state_dict"):
        differ = [key for key, value in whole[name].items() if not torch.equal(value, again[name][key])]
        assert not differ
