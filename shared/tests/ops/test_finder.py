"""The finder of `mmcv._ext`, in fresh processes: what is importable, when, and what wins."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from mmrepro.ops import ext, finder


def run(code: str, *paths: object) -> str:
    """Run code in a fresh process with folders in front of its path; return what it printed."""
    head = f"import sys\nsys.path[:0] = {[str(path) for path in paths]!r}\n"
    ran = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout.strip()


@pytest.fixture
def mmcv(tmp_path):
    """A folder with a package `mmcv` without compiled operators."""
    (tmp_path / "mmcv").mkdir()
    (tmp_path / "mmcv" / "__init__.py").write_text("")
    return tmp_path


def test_importing_mmrepro_needs_the_standard_library_alone():
    code = """
    before = set(sys.modules)
    import mmrepro, mmrepro.ops
    print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names))
    """
    assert run(code) == "mmrepro"


def test_the_extension_is_served(mmcv):
    code = """
    import mmrepro
    import mmcv._ext as extension
    from mmcv import _ext
    print(extension.get_compiler_version.__module__, hasattr(extension, "no_such_op"), hasattr(extension, "__file__"))
    """
    assert run(code, mmcv) == "mmrepro.ops.ext.info True False"


def test_the_extension_is_served_after_an_earlier_failure(mmcv):
    code = """
    try:
        import mmcv._ext
    except ModuleNotFoundError:
        import mmrepro
    import mmcv._ext
    print(mmcv._ext.get_compiler_version.__module__)
    """
    assert run(code, mmcv) == "mmrepro.ops.ext.info"


def test_a_compiled_extension_wins(mmcv):
    (mmcv / "mmcv" / "_ext.py").write_text("nms = 'compiled'")
    code = """
    import mmrepro
    from mmrepro.ops import finder
    import mmcv._ext
    print(mmcv._ext.nms, finder.is_served(mmcv._ext))
    """
    assert run(code, mmcv) == "compiled False"


def test_without_mmcv_nothing_is_served(tmp_path):
    (tmp_path / "mmcv.py").write_text("raise ModuleNotFoundError('mmcv')")
    code = """
    import mmrepro
    try:
        import mmcv._ext
    except ModuleNotFoundError as error:
        print(error)
    """
    assert run(code, tmp_path) == "mmcv"


def test_forked_workers_inherit_the_extension(mmcv):
    code = """
    import multiprocessing, mmrepro

    def look(_):
        import mmcv._ext
        return mmcv._ext.get_compiler_version.__module__

    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(pool.map(look, [0]))
    """
    assert run(code, mmcv) == "['mmrepro.ops.ext.info']"


def test_other_modules_are_left_to_others():
    assert finder.MmcvExtensionFinder().find_spec("mmcv._other") is None
    assert finder.MmcvExtensionFinder().find_spec("_ext") is None


def test_installing_twice_leaves_one_finder():
    finder.install()
    finder.install()
    assert sum(isinstance(one, finder.MmcvExtensionFinder) for one in sys.meta_path) == 1


def test_an_operator_that_is_not_served_says_so_when_it_is_called():
    operator = ext.operator("sparse_pooling")
    assert operator.__name__ == "sparse_pooling"
    with pytest.raises(
        ext.OperatorNotServedError,
        match=r"'sparse_pooling' is not among .* compile mmcv.*docs/operators.md.* or use a model",
    ):
        operator(1, two=2)
    assert issubclass(ext.OperatorNotServedError, NotImplementedError)


@pytest.mark.parametrize("name", sorted(ext.MODULE_OF))
def test_every_served_name_is_a_function_of_that_name(name):
    assert ext.operator(name).__name__ == name
    assert ext.operator(name).__doc__


def test_no_name_is_served_twice():
    names = [name for group in ext.SERVED.values() for name in group]
    assert len(names) == len(set(names))
