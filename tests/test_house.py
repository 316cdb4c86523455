"""The house: which folder holds what, who imports whom, how long a module may be. CONTRIBUTING.md has the reasons."""
from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "mtg_image_db"
ROOT_SCRIPTS = {"download_images.py", "build_embeddings.py", "build_mtg_faiss.py", "query_index.py",
                "export_for_browser.py"}
ROOT_FILES = ROOT_SCRIPTS | {
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "Makefile", "pyproject.toml", "ruff.toml",
    "requirements.txt", "requirements-no-torch.txt", "requirements-dev.txt",
    "environment-cpu.yml", "environment-gpu.yml", "environment-mps.yml",
    ".gitignore", ".pre-commit-config.yaml"}
ROOT_FOLDERS = {"mtg_image_db", "scripts", "mirror", "benchmarks", "web", "tests", "docs", ".ci", ".github"}
MODULE_LINES, SCRIPT_LINES = 300, 150
# Who may import whom: a part imports only parts of smaller numbers, and its own folder's modules.
LEVELS = {"mtg_image_db.version": 0, "mtg_image_db.replies": 0, "mtg_image_db.leftovers": 0, "mtg_image_db.memory": 0,
          "mtg_image_db.picture_formats": 0, "mtg_image_db.art_windows": 0,
          "mtg_image_db.common": 1, "mtg_image_db.console": 1, "mtg_image_db.threads": 1,
          "mtg_image_db.onnx_session": 1,
          "mtg_image_db.arguments": 2, "mtg_image_db.artefacts": 2, "mtg_image_db.locks": 2,
          "mtg_image_db.scryfall": 3, "mtg_image_db.embedding": 3, "mtg_image_db.index": 4,
          "mtg_image_db.recognition": 5, "mtg_image_db.browser": 6, "mtg_image_db.exploration": 6,
          "mtg_image_db": 6, "root": 7,
          "scripts": 8, "mirror": 8, "benchmarks": 8}
TOP = 8  # what a person runs beside the five scripts: these folders use each other
DOOR = "mtg_image_db"
VAGUE = {"about", "whole", "one", "some", "its", "took", "let_go", "naming", "left_out", "fell_back", "row_now",
         "likeness"}
HEAVY = {"torch", "open_clip", "faiss", "cv2"}


def tracked_python() -> list[Path]:
    return sorted(path for folder in (PACKAGE, ROOT / "scripts", ROOT / "mirror", ROOT / "benchmarks")
                  for path in folder.rglob("*.py")) + sorted(ROOT / name for name in ROOT_SCRIPTS)


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def part_of(module: str) -> str | None:
    """The part of LEVELS that a module belongs to; None for what is not ours. A new part has to be listed there."""
    parts = module.split(".")
    if f"{parts[0]}.py" in ROOT_SCRIPTS:
        return "root"
    if parts[0] == DOOR and len(parts) > 1:
        return ".".join(parts[:2])
    return parts[0] if parts[0] in LEVELS else None


def imports_of(path: Path) -> list[tuple[str, str, bool]]:
    """(module, imported name or "", whether the import is at the top of the file) of every import, wherever in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        at_top = node in tree.body
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found += [(node.module, alias.name, at_top) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, "", at_top) for alias in node.names]
    return found


def own_imports(path: Path) -> list[str]:
    """The modules of this project that a file imports."""
    modules = []
    for module, name, _ in imports_of(path):
        full = f"{module}.{name}"
        is_module = (ROOT / full.replace(".", "/")).with_suffix(".py").exists()
        modules += [full if is_module else module] if part_of(module) else []
    return modules


@pytest.mark.parametrize("path", tracked_python(), ids=module_of)
def test_imports_go_one_way(path):
    importer = part_of(module_of(path))
    for module in own_imports(path):
        imported = part_of(module)
        allowed = LEVELS[imported] < LEVELS[importer] or imported == importer or \
            LEVELS[imported] == LEVELS[importer] == TOP
        assert allowed, f"{module_of(path)} imports {module}"


def test_no_import_leads_in_a_circle():
    graph = {module_of(path): set(own_imports(path)) for path in tracked_python()}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way, module))
        if module not in done:
            for other in graph.get(module, ()):
                visit(other, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_what_each_folder_knows_nothing_of():
    for path in PACKAGE.rglob("*.py"):
        folder, imported = path.relative_to(PACKAGE).parts[0], own_imports(path)
        forbidden = {"scryfall": ("embedding", "index", "recognition", "browser"), "embedding": ("scryfall",),
                     "recognition": ("scryfall", "browser")}.get(folder, ())
        for module in imported:
            assert not any(module.startswith(f"{DOOR}.{name}") for name in forbidden), f"{path.name}: {module}"
        if folder == "recognition":  # it is given a model; of embedding/ it takes the perceptual hash alone
            models = [module for module in imported if module.startswith(f"{DOOR}.embedding")]
            assert set(models) <= {f"{DOOR}.embedding.picture_hash", f"{DOOR}.embedding"}, f"{path.name}: {models}"


@pytest.mark.parametrize("path", tracked_python(), ids=module_of)
def test_no_private_name_of_another_module_is_used(path):
    imported = {name for module, name, _ in imports_of(path) if part_of(module)}
    assert not [name for name in imported if name.startswith("_") and not name.startswith("__")]
    modules = {name for module, name, _ in imports_of(path)
               if (ROOT / f"{module}.{name}".replace(".", "/")).with_suffix(".py").exists()}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert not node.attr.startswith("_") or node.attr == "__name__", f"{node.value.id}.{node.attr}"


@pytest.mark.parametrize("path", tracked_python(), ids=module_of)
def test_heavy_packages_are_imported_where_they_are_used(path):
    networks = "vision_transformer.py", "training.py", "corner_training.py", "refiner_training.py"
    if path.name not in networks:
        at_top = {module.split(".")[0] for module, _, at_top in imports_of(path) if at_top}
        assert not at_top & HEAVY


@pytest.mark.parametrize("path", tracked_python(), ids=module_of)
def test_no_module_is_long_and_each_says_what_it_is(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= (SCRIPT_LINES if path.name in ROOT_SCRIPTS else MODULE_LINES)
    docstring = ast.get_docstring(ast.parse("\n".join(lines)))
    assert (docstring and docstring[0].isupper()) or docstring[0].isdigit() or docstring.startswith("open_clip")


def test_nothing_else_stands_in_the_root():
    """A newcomer sees five scripts, the folders, and the papers. What git ignores may lie here too."""
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    found = {path.name for path in ROOT.iterdir()} - {".git"}
    strangers = {name for name in found - ROOT_FILES - ROOT_FOLDERS
                 if name not in ignored and not any(re.fullmatch(line.replace("*", ".*"), name) for line in ignored)}
    assert strangers == set() and found >= ROOT_FILES | ROOT_FOLDERS


def test_no_function_takes_more_than_six_parameters():
    """mirror/ draws for tests, and may take more by name."""
    for path in tracked_python():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and part_of(module_of(path)) != "mirror":
                arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                names = [argument.arg for argument in arguments if argument.arg not in ("self", "cls")]
                assert len(names) <= 6, f"{module_of(path)}.{node.name}: {', '.join(names)}"


@pytest.mark.parametrize("path", tracked_python(), ids=module_of)
def test_names_say_what_they_hold(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = {ast.Name: "id", ast.arg: "arg", ast.FunctionDef: "name", ast.Attribute: "attr"}.get(type(node))
        assert name is None or getattr(node, name) not in VAGUE, f"line {node.lineno}: {getattr(node, name)}"
