"""What other projects get agrees with the package: settings and results of the wrapper, dependencies of the recipe."""

import importlib.metadata
import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import pytest
import spikeinterface.sorters
from small_recording import small_recording

from si_deepsort.settings import default_params, params_description
from si_deepsort.sorter.settings import DeepSortSettings

ROOT = Path(__file__).parents[2]
# Names that conda-forge gives to packages of PyPI.
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def load_file(name: str, file: Path):
    specification = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wrapper():
    """The wrapper as if it lay in SpikeInterface's tree."""
    name = f"{spikeinterface.sorters.__name__}.external.deepsort_of_contrib"
    yield load_file(name, ROOT / "contrib" / "spikeinterface" / "deepsort.py").DeepsortSorter
    del sys.modules[name]


def test_the_wrapper_has_the_settings_of_the_package(wrapper):
    remedy = "run python contrib/spikeinterface/write_settings.py"
    assert wrapper._default_params == default_params(DeepSortSettings), remedy
    assert wrapper._params_description == params_description(DeepSortSettings), remedy
    writer = load_file("write_settings", ROOT / "contrib" / "spikeinterface" / "write_settings.py")
    written = writer.WRAPPER.read_text(encoding="utf-8")
    assert writer.with_settings(written) == written


@pytest.mark.slow
def test_the_wrapper_sorts(wrapper, tmp_path):
    recording, truth = small_recording(tmp_path / "recording", duration_s=3.0)
    assert wrapper.is_installed() and wrapper.get_sorter_version()
    folder = wrapper.initialize_folder(recording, tmp_path / "out", False, False)
    wrapper.set_params_to_folder(recording, folder, dict(clustering="hdbscan", num_rounds=0), False)
    wrapper.setup_recording(recording, folder, verbose=False)
    wrapper.run_from_folder(folder, raise_error=True, verbose=False)
    assert len(wrapper.get_result_from_folder(folder).unit_ids) >= len(truth.unit_ids)
    with pytest.raises(ValueError, match="num_rounds"):
        folder = wrapper.initialize_folder(recording, tmp_path / "wrong", False, False)
        wrapper.set_params_to_folder(recording, folder, dict(num_rounds=-1), False)


def test_the_recipe_has_the_dependencies_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    recipe = (ROOT / "contrib" / "conda-forge" / "recipe.yaml").read_text(encoding="utf-8")
    for dependency in project_dependencies():
        name, versions = re.fullmatch(r"([\w-]+)(?:\[.*\])?(.*)", dependency).groups()
        assert f"- {CONDA_NAMES.get(name, name)} {versions}\n" in recipe, f"the recipe lacks {dependency}"
    assert f"- {project['build-system']['requires'][0].replace('>=', ' >=')}\n" in recipe


def test_the_recipe_has_what_the_extras_of_spikeinterface_need():
    recipe = (ROOT / "contrib" / "conda-forge" / "recipe.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"^    - ([\w-]+)", recipe, re.MULTILINE))
    (dependency,) = [name for name in project_dependencies() if name.startswith("spikeinterface[")]
    extras = set(re.search(r"\[(.*)\]", dependency).group(1).split(","))
    needed = set()
    for requirement in importlib.metadata.requires("spikeinterface"):
        name, inner, extra = re.match(r"([\w-]+)(?:\[(\w+)\])?.*?(?:extra == [\"'](\w+)[\"'])?$", requirement).groups()
        if extra in extras and inner is None:
            needed.add(CONDA_NAMES.get(name, name))
    assert {"numba", "hdbscan"} <= needed <= named, f"the recipe lacks {needed - named}"


def project_dependencies() -> list[str]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]


def test_the_recipe_renders():
    rattler_build = pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")
    recipe = rattler_build.Stage0Recipe.from_file(ROOT / "contrib" / "conda-forge" / "recipe.yaml")
    variants = rattler_build.VariantConfig(variants={"python_min": ["3.11"]})
    (rendered,) = recipe.render(variants)
    package = rendered.recipe.to_dict()
    assert package["build"]["noarch"] == "python" and "python >=3.11" in package["requirements"]["run"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"
    (entry_point,) = package["build"]["python"]["entry_points"]
    assert entry_point == " = ".join(*project["scripts"].items())
