"""The one place that reaches from the installed package into the checkout: train, evaluate, convert.

The workbench packages have everyday names, so they are loaded from the checkout's own path: a foreign
``train`` in site-packages never wins.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import edge_ecg
from edge_ecg.errors import UsageError
from edge_ecg.registry import load

__all__ = ["find_checkout", "load_verb", "missing_library"]

PACKAGES = ("train", "quantize")
LIBRARIES = frozenset({"tensorflow", "tf_keras", "tensorflow_model_optimization", "scipy", "threadpoolctl", "tqdm"})
INSTALL = 'pip install -e ".[train]"'


def find_checkout() -> Path:
    """Return the root of the checkout: where this package lies, else the current directory."""
    for root in (Path(edge_ecg.__file__).resolve().parent.parent, Path.cwd()):
        if _is_checkout(root):
            return root
    raise UsageError(
        "this command belongs to the source checkout, and none was found beside the package or here",
        f"`git clone` the project, run `{INSTALL}` in it, and try again from there",
    )


def load_verb(verb: str, reference: str) -> object:
    """Load the command of a verb (``"train.cli:train"``) from the checkout and from nowhere else.

    Raises
    ------
    UsageError
        There is no checkout, or a library of the ``train`` extra is not installed.
    """
    root = find_checkout()
    for package in PACKAGES:
        _adopt(package, root)
    try:
        return load(reference)
    except ModuleNotFoundError as error:
        raise missing_library(error, verb) or error from error


def missing_library(error: ModuleNotFoundError, verb: str = "this command") -> UsageError | None:
    """Explain a missing library of the ``train`` extra; None when the missing module is another one."""
    library = (error.name or "").partition(".")[0]
    if library not in LIBRARIES:
        return None
    return UsageError(f"{verb} needs {library}, which is not installed", f"Run `{INSTALL}` in the checkout")


def _is_checkout(root: Path) -> bool:
    if not (root / "train" / "__init__.py").is_file():
        return False
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        return False
    return isinstance(project, dict) and project.get("name") == "edge-ecg"


def _adopt(package: str, root: Path) -> None:
    """Make ``import package`` mean the directory in the checkout."""
    source = root / package / "__init__.py"
    present = sys.modules.get(package)
    if not source.is_file() or (present is not None and getattr(present, "__file__", None) == str(source)):
        return
    for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
        del sys.modules[name]
    spec = spec_from_file_location(package, source, submodule_search_locations=[str(source.parent)])
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[package] = module
    spec.loader.exec_module(module)
