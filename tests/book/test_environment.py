"""environment.yml, constraints.txt, the Makefile and pyproject.toml say the same."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))

REQUIREMENTS = [
    requirement
    for line in [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    if (requirement := Requirement(line)).name != PROJECT["name"]
]


def pins() -> dict[str, str]:
    """Version by package of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def test_environment_installs_what_make_installs():
    (pip,) = (item["pip"] for item in ENVIRONMENT["dependencies"] if isinstance(item, dict))
    line = re.search(r"pip install .*(-c \S+) (-e) '(.+)'", (ROOT / "Makefile").read_text("utf-8"))
    assert line is not None
    assert pip == [line[1], f"{line[2]} {line[3]}"]


def test_environment_names_extras_that_exist():
    (pip,) = (item["pip"] for item in ENVIRONMENT["dependencies"] if isinstance(item, dict))
    extras = set(re.fullmatch(r"-e \.\[(.+)\]", pip[1])[1].split(","))
    assert extras <= set(EXTRAS)


def test_environment_asks_for_a_python_that_the_package_supports():
    python = next(item for item in ENVIRONMENT["dependencies"] if str(item).startswith("python"))
    bounds = SpecifierSet(python.removeprefix("python"))
    offered = [f"3.{minor}" for minor in range(8, 20) if f"3.{minor}" in bounds]
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if ":: 3." in line]
    assert offered == named
    assert offered[0] in SpecifierSet(PROJECT["requires-python"])


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_pinned_version_is_one_that_the_package_accepts(requirement):
    assert pins()[canonicalize_name(requirement.name)] in requirement.specifier


def test_no_pin_ties_the_install_to_one_platform():
    assert [name for name in pins() if name.startswith(("nvidia", "cuda", "triton"))] == []
