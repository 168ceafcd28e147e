"""How the training of tables ends."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmrepro import papers
from mmrepro.testing import load_config, tiny

CONFIGS = Path(papers.root("meta_transformer")) / "configs" / "meta_transformer"


@pytest.mark.filterwarnings("ignore::mm_meta_transformer.datasets.table.TableWarning")
def test_the_rate_falls_and_training_ends_where_the_validation_loss_does_not_fall(tmp_path):
    config = tiny(load_config(CONFIGS / "meta-transformer_base_adult.py"))
    config = Config(config.to_dict(), format_python_code=False)  # which takes seconds when it is written down
    config.merge_from_dict(
        {
            "work_dir": str(tmp_path),
            "log_level": "ERROR",
            "experiment_name": "stopped_rows",  # mmengine keeps one logger per name
            "train_cfg.max_epochs": 20,
            "train_dataloader.batch_size": 64,
            # mmengine collects garbage for a second before it packs rows
            **{f"{loader}_dataloader.dataset.serialize_data": False for loader in ("train", "val", "test")},
        }
    )
    config.param_scheduler[0].update(patience=0, threshold=10.0)  # no epoch is that much better
    stop = next(hook for hook in config.custom_hooks if hook["type"] == "ResumableEarlyStoppingHook")
    stop.update(patience=2, min_delta=10.0)
    runner = Runner.from_cfg(config)
    runner.train()
    assert runner.epoch == 3
    assert runner.optim_wrapper.get_lr()["lr"][0] == pytest.approx(1e-3 * 0.1**2)
    found = runner.test()
    assert {"accuracy/top1", "baseline_accuracy/top1"} <= set(found)
    assert list(tmp_path.glob("best_log_loss_*.pth"))
