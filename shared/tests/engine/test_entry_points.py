"""The command line: what it accepts, what it says when the user is wrong, and what it does with the options."""

import itertools
import json
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from mmrepro.engine import configuration, test, train
from mmrepro.engine.checkpoint_hook import latest_checkpoint
from mmrepro.engine.errors import UserError
from mmrepro.testing import toy

_names = itertools.count()


@pytest.fixture
def toy_file(tmp_path):
    path = tmp_path / "toy_config.py"
    toy.config(train_cfg__max_epochs=2).dump(path)
    return path


def run(tool, *arguments):
    """Call an entry point; runs of the same second in one process would share their log and message hub."""
    name = f"experiment_name=run_{next(_names)}"
    tool.main(argv=[*(str(argument) for argument in arguments), "--cfg-options", name])


@pytest.fixture
def trained(toy_file, tmp_path):
    """The work directory of a run through the entry point."""
    run(train, toy_file, "--work-dir", tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("tool", ["train", "test"])
def test_help_needs_neither_torch_nor_mmengine(tool):
    code = (
        "import contextlib, io, sys\n"
        f"from mmrepro.engine.{tool} import main\n"
        "text = io.StringIO()\n"
        "with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):\n"
        "    main('itransformer', ['-h'])\n"
        "assert '--work-dir' in text.getvalue()\n"
        "for word in ('--gpus', '--gpu-id', '--device'):\n"  # mim would pass such options on
        "    assert word not in text.getvalue()\n"
        "assert not {'torch', 'mmengine', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such_config"], "no_such_config is neither a file nor a config"),
        (["{toy}", "--cfg-options", "model"], "--cfg-options model: write it as key=value"),
        (["{toy}", "--cfg-options", "modle.dropout=0"], "the config has no 'modle'. Did you mean model?"),
        (["{toy}", "--cfg-options", "model.dropuot=0"], "ToyModel has no argument 'dropuot'. Did you mean dropout?"),
        (
            ["{toy}", "--cfg-options", "train_dataloader.dataset.lenght=9"],
            "ToyDataset has no argument 'lenght'. Did you mean length?",
        ),
        (
            ["{toy}", "--cfg-options", "val_evaluator.perfix=a"],
            "ToyMetric has no argument 'perfix'. Did you mean prefix?",
        ),
        (
            ["{toy}", "--cfg-options", "train_dataloader.bacth_size=9"],
            "DataLoader has no argument 'bacth_size'. Did you mean batch_size",
        ),
        (["{toy}", "--cfg-options", "optim_wrapper.optimizer.zzz=1"], "Adam has no argument 'zzz'."),
        (["{toy}", "--cfg-options", "custom_hooks.99.interval=2"], "--cfg-options custom_hooks.99.interval=2: "),
        (["{toy}", "--cfg-options", "randomness.seed.x=2"], "--cfg-options randomness.seed.x=2: "),
        (["{toy}", "--resume", "missing.pth"], "--resume missing.pth: no such file"),
        (["{toy}", "--amp", "--cfg-options", "optim_wrapper.type=Strange"], "--amp knows OptimWrapper"),
        (["{toy}", "--auto-scale-lr", "--cfg-options", "auto_scale_lr=None"], "set base_batch_size"),
        (["{toy}", "--cfg-options", "train_dataloader.batch_size=64"], "the training data gives no batch: 44 samples"),
        (["{toy}", "--cfg-options", "randomness.diff_rank_seed=True"], "Fix: randomness=dict(seed=...) alone"),
        (["{toy}", "--cfg-options", "train_cfg=None"], "the config has no train_cfg: nothing to train"),
        (["{toy}", "--launcher", "mpi"], "--launcher mpi needs an accelerator"),
        (["{toy}", "--launcher", "pytorch"], "--launcher pytorch without RANK, WORLD_SIZE"),
        (["{broken}"], "broken.py: "),
        (["{foreign}"], "foreign.py: No module named 'mm_nowhere'. Is the package installed"),
    ],
)
def test_the_fault_of_a_user_is_one_line(arguments, message, toy_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "broken.py").write_text("model = dict(type=\n")
    (tmp_path / "foreign.py").write_text("custom_imports = dict(imports=['mm_nowhere'], allow_failed_imports=False)")
    files = {"toy": toy_file, "broken": tmp_path / "broken.py", "foreign": tmp_path / "foreign.py"}
    filled = [each.format(**files) for each in arguments]
    with pytest.raises(SystemExit) as stop:
        train.main(argv=filled)
    assert str(stop.value).startswith("error: ")
    assert message in str(stop.value)
    assert "\n" not in str(stop.value)


def test_a_wrong_keyword_in_the_code_keeps_its_traceback(toy_file):
    with pytest.raises(TypeError, match="unexpected keyword argument 'shape'"):
        train.main(argv=[str(toy_file), "--cfg-options", "train_dataloader.dataset.type=FaultyDataset"])


@pytest.fixture(autouse=True)
def _faulty_dataset():
    from mmengine.registry import DATASETS

    @DATASETS.register_module(name="FaultyDataset", force=True)
    def build():
        return toy.ToyDataset(shape=3)


def test_missing_data_is_one_line(toy_file):
    with pytest.raises(SystemExit, match="error: etth1 is nowhere"):
        train.main(argv=[str(toy_file), "--cfg-options", "train_dataloader.dataset.type=MissingDataset"])


@pytest.fixture(autouse=True)
def _missing_dataset():
    from mmengine.registry import DATASETS

    from mmrepro.datasets.registry import DataNotFoundError

    @DATASETS.register_module(name="MissingDataset", force=True)
    def build():
        raise DataNotFoundError("etth1 is nowhere")


def test_close_names_of_a_papers_config_are_listed():
    with pytest.raises(UserError, match="Did you mean: itransformer_e2-d256_1xb32-10e_etth1-96to96"):
        configuration.find("itransformer_e2-d256_etth1-96to96", "itransformer")


def test_a_config_is_found_by_its_bare_name():
    path = configuration.find("itransformer_e2-d256_1xb32-10e_etth1-96to96", None)
    assert path.is_file()
    assert path == configuration.find(f"{path.name}", "itransformer")


def test_cfg_options_are_merged():
    config = toy.config()
    configuration.merge(config, ["model.dropout=0.5", "custom_hooks.1.interval=7", "load_from=x.pth"])
    assert (config.model.dropout, config.custom_hooks[1].interval, config.load_from) == (0.5, 7, "x.pth")


def test_training_and_its_options(trained, toy_file, tmp_path):
    assert latest_checkpoint(trained).name == "epoch_2.pth"
    options = ["--seed", "9", "--amp", "--auto-scale-lr", "--cfg-options", "train_dataloader.batch_size=16"]
    run(train, toy_file, "--work-dir", tmp_path / "other", *options)
    dumped = Config.fromfile(tmp_path / "other" / "toy_config.py")
    assert dumped.randomness.seed == 9
    assert dumped.optim_wrapper.type == "BFloat16OptimWrapper"
    assert dumped.optim_wrapper.optimizer.lr == pytest.approx(0.02)
    log = next((tmp_path / "other").glob("*/*.log")).read_text()
    assert (
        "the learning rate goes from 0.01 to 0.02, since 1 process(es) x 16 samples = a batch of 16, and it is" in log
    )


def test_resume_goes_on_or_starts(trained, toy_file):
    run(train, toy_file, "--work-dir", trained, "--resume", "--cfg-options", "train_cfg.max_epochs=3")
    logs = sorted(path.read_text() for path in trained.glob("*/*.log"))
    assert any("resumed epoch: 2, iter: 10" in log for log in logs)
    assert latest_checkpoint(trained).name == "epoch_3.pth"
    fresh = trained.with_name("fresh")
    run(train, toy_file, "--work-dir", fresh, "--resume", "auto")
    assert latest_checkpoint(fresh).name == "epoch_2.pth"


def test_metrics_are_written_as_json(trained, toy_file, tmp_path):
    out = tmp_path / "new" / "metrics.json"
    best = next(trained.glob("best_*.pth"))
    run(test, toy_file, best, "--work-dir", tmp_path / "test", "--out", out)
    assert json.loads(out.read_text()) == {"mse": pytest.approx(4.7973, abs=0.2)}


def test_drawings_lie_where_the_user_stands(toy_file, tmp_path, monkeypatch):
    """Not below the work directory, where mmengine's hooks put what has a relative path."""
    drawing = dict(type="NoneSuch", interval=3)
    toy.config(default_hooks__visualization=drawing).dump(toy_file)
    tested = []
    monkeypatch.setattr(test, "_test", tested.append)
    monkeypatch.chdir(tmp_path)
    run(test, toy_file, toy_file, "--show-dir", "shown")
    hook = tested[0].default_hooks.visualization
    assert hook == dict(drawing, draw=True, test_out_dir=str(tmp_path / "shown"))


def test_metrics_become_plain():
    measured = {"a": torch.tensor(1.5), "b": float("nan"), "c": [torch.tensor([1, 2])], "d": "text"}
    assert test._plain(measured) == {"a": 1.5, "b": None, "c": [[1, 2]], "d": "text"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.pth"], "no checkpoint missing.pth"),
        (["{file}", "--out", "metrics.pkl"], "name the file \\*.json"),
        (["{file}", "--show-dir", "shown"], "default_hooks.visualization"),
        (["{file}"], "config.py"),  # not a checkpoint: the loader says so
    ],
)
def test_the_fault_of_a_user_of_test_is_one_line(arguments, message, toy_file):
    with pytest.raises(SystemExit, match=message) as stop:
        test.main(argv=[str(toy_file), *(each.format(file=toy_file) for each in arguments)])
    assert str(stop.value).startswith("error: ")


def test_a_learning_rate_is_left_alone_when_the_batch_is_the_one_it_is_meant_for():
    config = toy.config(auto_scale_lr__enable=True)
    assert configuration.scale_learning_rate(config, processes=1) is None
    assert config.optim_wrapper.optimizer.lr == 0.01


def test_the_learning_rate_counts_the_processes():
    config = toy.config(auto_scale_lr__enable=True)
    assert "2 process(es) x 8 samples = a batch of 16" in configuration.scale_learning_rate(config, processes=2)
    assert config.optim_wrapper.optimizer.lr == 0.02
    assert not config.auto_scale_lr.enable  # the Runner must not do it again


def split_config():
    """Return a config whose model has two parts with an optimizer each."""
    part = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=0.01))
    config = toy.config(auto_scale_lr__enable=True, train_dataloader__batch_size=16)
    config.optim_wrapper = dict(
        constructor="SomeConstructor", first=part, second=dict(optimizer=dict(type="SGD", lr=0.5))
    )
    return config


def test_bfloat16_and_the_batch_size_reach_every_optimizer():
    config = split_config()
    configuration.use_bf16(config)
    assert "0.01, 0.5 to 0.02, 1, since" in configuration.scale_learning_rate(config, processes=1)
    wrappers = configuration.optim_wrappers(config.optim_wrapper)
    assert [wrapper.type for wrapper in wrappers] == ["BFloat16OptimWrapper"] * 2
    assert [wrapper.optimizer.lr for wrapper in wrappers] == [0.02, 1.0]
    config.optim_wrapper.second.type = "Strange"
    with pytest.raises(UserError, match="the config has Strange"):
        configuration.use_bf16(config)
