"""What an installation relies on: pins, ranges, conda files, the package, the workflow and the hooks agree."""
from __future__ import annotations

import ast
import functools
import importlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

# pytest brings packaging, and tomli where Python has no tomllib yet
tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

RUNTIME, DEVELOPMENT, SMALL = "requirements.txt", "requirements-dev.txt", "requirements-no-torch.txt"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("linux", "darwin")
EVERYWHERE = list(itertools.product(PYTHONS, PLATFORMS))
HERE = ".".join(map(str, sys.version_info[:2])), sys.platform
CONDA_NAMES = {"torch": {"pytorch", "pytorch-cpu", "pytorch-gpu"}, "open-clip-torch": {"open-clip-torch"},
               "pillow": {"pillow"}}
IMPORTED_AS = {"PIL": "pillow", "cv2": "opencv-python-headless", "faiss": "faiss-cpu", "open_clip": "open-clip-torch",
               "umap": "umap-learn"}
# The parts of the package that a query does not import, and the extra that brings what they need.
# The retrying session is in common.py, its errors in replies.py.
EXTRA_OF = {"scryfall": "build", "common.py": "build", "replies.py": "build", "browser": "browser",
            "embedding": "torch", "exploration": "explore"}


def pin_lines(file: str) -> list[Requirement]:
    lines = (ROOT / file).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def applies(pin: Requirement, python: str, platform: str) -> bool:
    system = {"linux": "Linux", "darwin": "Darwin"}[platform]
    return pin.marker is None or pin.marker.evaluate({
        "python_version": python, "python_full_version": f"{python}.0", "sys_platform": platform,
        "platform_system": system})


def pins(python: str, platform: str, *files: str) -> list[tuple[str, str]]:
    """(name, version) of each pin that pip would take there."""
    return [(canonicalize_name(pin.name), next(iter(pin.specifier)).version)
            for file in files for pin in pin_lines(file) if applies(pin, python, platform)]


def tables() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def ranges() -> dict[str, SpecifierSet]:
    """What pyproject.toml asks for, of the base and of every extra."""
    project = tables()["project"]
    lines = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    names = [canonicalize_name(Requirement(line).name) for line in lines]
    assert len(names) == len(set(names)), "a package stands in two places"
    return {name: Requirement(line).specifier for name, line in zip(names, lines, strict=True)}


# Pins

def test_the_pins_of_the_issue_are_the_pins():
    assert dict(pins(*HERE, RUNTIME)).items() >= {"torch": "2.13.0", "torchvision": "0.28.0",
                                                  "open-clip-torch": "3.3.0", "faiss-cpu": "1.15.1"}.items()


def test_every_requirement_is_one_exact_version():
    for pin in pin_lines(RUNTIME) + pin_lines(DEVELOPMENT):
        exact, = pin.specifier
        assert exact.operator == "==" and "*" not in exact.version and not pin.extras and not pin.url, pin


@pytest.mark.parametrize("python, platform", EVERYWHERE)
def test_every_python_and_system_has_one_pin_for_every_package(python, platform):
    names = [name for name, _ in pins(python, platform, RUNTIME, DEVELOPMENT)]
    assert len(names) == len(set(names)), "two pins of a package apply"
    everything = {canonicalize_name(pin.name) for pin in pin_lines(RUNTIME) + pin_lines(DEVELOPMENT)}
    assert everything - set(names) == set(), "no pin applies"


@pytest.mark.parametrize("file", [RUNTIME, DEVELOPMENT])
def test_what_is_installed_is_what_is_pinned(file):
    expected = dict(pins(*HERE, file))
    assert {name: version(name).split("+")[0] for name in expected} == expected


def test_no_pin_applies_to_a_python_that_its_package_refuses():
    """Read off the installed packages, so the pins for other Pythons are checked where those run the tests."""
    checked = 0
    for pin in pin_lines(RUNTIME) + pin_lines(DEVELOPMENT):
        try:
            installed = distribution(pin.name)
        except PackageNotFoundError:
            continue  # test_what_is_installed_is_what_is_pinned says so
        if not applies(pin, *HERE):
            continue
        admitted = SpecifierSet(installed.metadata["Requires-Python"] or "")
        wanted = {python for python, platform in EVERYWHERE if applies(pin, python, platform)}
        assert wanted <= set(admitted.filter(wanted)), f"{pin} wants Python {admitted}"
        checked += 1
    assert checked > 20


def test_the_small_requirements_are_the_base_and_the_build_without_pytorch():
    """make demo installs them. Each line is one of requirements.txt."""
    lines, project = (ROOT / SMALL).read_text().splitlines()[1:], tables()["project"]
    assert set(lines) < set((ROOT / RUNTIME).read_text().splitlines())
    needed = [*project["dependencies"], *project["optional-dependencies"]["build"]]
    assert {canonicalize_name(Requirement(line).name) for line in lines} == {
        canonicalize_name(Requirement(line).name) for line in needed}
    brought = {canonicalize_name(Requirement(line).name) for pin in pin_lines(SMALL) if applies(pin, *HERE)
               for line in requires(pin.name) or () if "extra ==" not in line}
    assert not brought & {"torch", "torchvision", "open-clip-torch"}


@pytest.mark.parametrize("python, platform", EVERYWHERE)
def test_pins_and_pyproject_name_the_same_packages_in_versions_that_fit(python, platform):
    pinned, asked = dict(pins(python, platform, RUNTIME, DEVELOPMENT)), ranges()
    assert pinned.keys() == asked.keys()
    for name, exact in pinned.items():
        assert exact in asked[name], f"{name}=={exact} is outside {asked[name]}"


def test_the_development_pins_are_the_extra_dev():
    extras = tables()["project"]["optional-dependencies"]
    asked = extras["dev"] + extras["parquet"] + extras["explore"]
    assert {canonicalize_name(Requirement(line).name) for line in asked} == dict(pins(*HERE, DEVELOPMENT)).keys()
    assert extras.keys() == {"build", "torch", "browser", "parquet", "explore", "dev"}


# Conda

@functools.cache
def conda(kind: str) -> tuple[dict, dict[str, str]]:
    """(the environment file, its versions from conda and pip)."""
    environment = yaml.safe_load((ROOT / f"environment-{kind}.yml").read_text())
    found = {}
    for entry in environment["dependencies"]:
        for line in entry["pip"] if isinstance(entry, dict) else [entry]:
            name, _, exact = line.replace("==", "=").partition("=")
            found[name if name in ("pytorch-cpu", "pytorch-gpu") else canonicalize_name(name)] = exact
    return environment, found


@pytest.mark.parametrize("kind", ["cpu", "gpu", "mps"])
def test_conda_files_agree_with_requirements(kind):
    environment, found = conda(kind)
    assert environment["name"] == f"mtg-faiss-{kind}"
    assert [channel for channel in environment["channels"] if channel != "nodefaults"] == ["conda-forge"]
    for name, exact in pins(found["python"], "darwin" if kind == "mps" else "linux", RUNTIME):
        names = CONDA_NAMES.get(name, {name}) & found.keys()
        assert names and all(found[each] == exact for each in names), f"{name}=={exact}"
    from_pip = {name for entry in environment["dependencies"] if isinstance(entry, dict) for name in entry["pip"]}
    assert not any(name.startswith(("torch", "faiss")) for name in from_pip), "two OpenMP runtimes in one process"


# The package

def test_the_package_states_its_name_its_pythons_and_its_licence():
    project = tables()["project"]
    assert project["name"] == "mtg-image-db" and "scripts" not in project
    listed = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert tuple(listed) == PYTHONS and project["requires-python"] == f">={PYTHONS[0]}"
    assert project["license"] == "MIT" and (ROOT / "LICENSE").read_text().startswith("MIT License\n")
    assert (ROOT / project["readme"]).is_file()


def test_the_version_is_that_of_the_package_and_stands_first_in_the_changelog():
    import mtg_image_db

    assert tables()["project"]["dynamic"] == ["version"]
    assert tables()["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "mtg_image_db.version.__version__"}
    versions = re.findall(r"^## \[(\S+)\] - (?:unreleased|\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert versions[0] == mtg_image_db.__version__
    assert versions == sorted(versions, key=Version, reverse=True)


def test_the_npm_package_has_the_version_and_what_another_page_needs():
    import mtg_image_db

    web = ROOT / "web"
    described, locked = (json.loads((web / name).read_text()) for name in ("package.json", "package-lock.json"))
    assert described["version"] == locked["version"] == locked["packages"][""]["version"] == mtg_image_db.__version__
    pins = [*described["dependencies"].values(), *described["devDependencies"].values()]
    assert all(pin[0].isdigit() for pin in pins), "one exact version of each"
    if shutil.which("npm") is None:
        pytest.skip("no npm on this machine")
    done = subprocess.run(["npm", "pack", "--dry-run", "--json", "--ignore-scripts"], cwd=web, check=True,
                          capture_output=True, text=True, timeout=60)
    packed = json.loads(done.stdout)
    files = {file["path"] for file in (packed if isinstance(packed, list) else [*packed.values()])[0]["files"]}
    needed, seen = {"search.js", "worker.js"}, set()
    while needed - seen:  # what a file imports, and what that imports
        name = (needed - seen).pop()
        seen.add(name)
        if not name.startswith("vendor/"):
            needed |= {os.path.normpath(Path(name).parent / found) for found in
                       re.findall(r'^(?:im|ex)port .*?"(\.[^"]+)";', (web / name).read_text(), re.M | re.S)}
    vendor = {f"vendor/{path.name}" for path in (web / "vendor").glob("[!.]*")}
    assert {name for name in needed if not name.startswith("vendor/")} | vendor <= files
    assert {name for name in files if name.startswith("vendor/")} == vendor
    assert not {"page", "node_modules", "tsconfig.json"} & {name.partition("/")[0] for name in files}


def test_every_folder_of_code_is_part_of_the_package():
    assert tables()["tool"]["setuptools"]["packages"]["find"] == {"include": ["mtg_image_db*"]}
    for module in (ROOT / "mtg_image_db").rglob("*.py"):
        assert (module.parent / "__init__.py").is_file(), f"{module.parent} is left out without __init__.py"


def imported_packages(file: os.PathLike) -> set[str]:
    """The top-level names that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"mtg_image_db"}


def test_what_the_package_imports_is_declared_for_the_part_that_imports_it():
    """Directly, or by a package that is declared: open_clip_torch itself asks for safetensors."""
    project = tables()["project"]

    def brought_by(lines: list[str]) -> set[str]:
        direct = {canonicalize_name(Requirement(line).name) for line in lines}
        return direct | {canonicalize_name(Requirement(line).name) for name in direct for line in requires(name) or ()}

    base = brought_by(project["dependencies"])
    extras = {folder: brought_by(project["optional-dependencies"][extra]) for folder, extra in EXTRA_OF.items()}
    for module in (ROOT / "mtg_image_db").rglob("*.py"):
        folder = module.relative_to(ROOT / "mtg_image_db").parts[0]
        for name in imported_packages(module):
            package = canonicalize_name(IMPORTED_AS.get(name, name))
            assert package in base | extras.get(folder, set()), f"{module.name} imports {name}, which is not declared"


# The workflow and the hooks

def test_the_workflow_runs_the_ci_script_on_the_oldest_and_the_newest_python():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    job, = workflow["jobs"].values()
    matrix, steps = job["strategy"]["matrix"], job["steps"]
    assert matrix["python"] == [PYTHONS[0], PYTHONS[-1]]
    assert {system.partition("-")[0] for system in matrix["os"]} == {"ubuntu", "macos"}
    assert job["runs-on"] == "${{ matrix.os }}"
    setup, = (step for step in steps if step.get("uses", "").startswith("actions/setup-python@"))
    assert setup["with"]["python-version"] == "${{ matrix.python }}"
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in steps if "uses" in step)
    assert steps[-1]["run"] == "bash .ci/run" and steps[-1]["env"]["PYTHON"]


@pytest.mark.parametrize("user, browser, sudo, installs", [
    (0, None, None, "apt-get"), (1001, None, 0, "sudo -n apt-get"), (1001, None, 1, None), (1001, None, None, None),
    (0, "chromium", None, None), (1001, "google-chrome", 0, None)])
def test_the_ci_script_installs_a_browser_where_it_may_and_runs_the_tests(tmp_path, user, browser, sudo, installs):
    """With stand-ins for every command that would change the machine: each writes down how it was called."""
    def stand_in(name: str, body: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!{shutil.which('bash')}\n{body}\n")
        path.chmod(0o755)

    (tmp_path / "dirname").symlink_to(shutil.which("dirname"))
    stand_in("id", f"echo {user}")
    stand_in("true", "exit 0")
    for name in filter(None, ("apt-get", "make", browser)):
        stand_in(name, f'echo "{name} $*"')
    if sudo is not None:
        stand_in("sudo", f'[ "$2" = true ] || echo "sudo $*"; exit {sudo}')
    done = subprocess.run([shutil.which("bash"), str(ROOT / ".ci" / "run")], env={"PATH": str(tmp_path)},
                          capture_output=True, text=True, check=True)
    *before, last = done.stdout.splitlines()
    assert last == "make test" and "could not be installed" not in done.stderr
    assert before == ([f"{installs} update -qq"] if installs else [])  # what it installs, it does not say


def test_the_hooks_need_nothing_but_the_environment_of_the_checkout():
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    hooks = {hook["id"]: hook for hook in repos[0]["hooks"]}
    assert hooks.keys() == {"ruff", "mypy"}
    for name, hook in hooks.items():
        assert hook["language"] == "system" and hook["entry"].startswith(f".venv/bin/python -m {name}")
        assert name in dict(pins(*HERE, DEVELOPMENT))
