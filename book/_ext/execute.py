"""Execute the book's notebooks in parallel, ahead of the build, into the cache that it reads.

The cache that Jupyter Book keeps looks at code cells alone. A change in segtut, in the pinned
versions or in the recorded runs must run the notebooks again, so the cache is emptied when a hash
of those changes.
Run from the repository's root: `python -m book._ext.execute`.
"""

import hashlib
import platform
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

CELL_TIMEOUT = 600  # seconds a cell may take, as in _config.yml
WATCHED = ("segtut/**/*.py", "segtut/**/*.js", "constraints.txt")
WATCHED += ("book/results/**/*.json", "book/studies/*.toml")


def fingerprint(root: Path) -> str:
    """SHA-256 over all that a notebook depends on besides its own cells, names and bytes."""
    digest = hashlib.sha256(platform.python_version().encode())
    for path in sorted(path for pattern in WATCHED for path in root.glob(pattern)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def forget_outdated(root: Path, build: Path) -> bool:
    """Empty the execution cache and the pages read with it if the fingerprint changed; say so."""
    cache = build / ".jupyter_cache"
    record = cache / "fingerprint.sha256"
    current = fingerprint(root)
    if record.exists() and record.read_text() == current:
        return False
    shutil.rmtree(cache, ignore_errors=True)
    # Sphinx reads a page again only when its source changes, and would keep the old outputs.
    shutil.rmtree(build / ".doctrees", ignore_errors=True)
    cache.mkdir(parents=True)
    record.write_text(current)
    return True


def notebooks_in_toc(root: Path) -> list[Path]:
    """The notebooks that `_toc.yml` names, in its order."""
    from sphinx_external_toc.parsing import parse_toc_yaml

    names = parse_toc_yaml(root / "_toc.yml")
    paths = (root / f"{name.removesuffix('.ipynb')}.ipynb" for name in names)
    return [path for path in paths if path.exists()]


def execute(notebooks: Iterable[Path], cache_folder: Path) -> list[tuple[Path, str]]:
    """Run what the cache does not hold yet, a process a core; return failures with tracebacks."""
    from jupyter_cache import get_cache
    from jupyter_cache.executors import load_executor

    cache = get_cache(str(cache_folder))
    for record in cache.list_project_records():
        cache.remove_nb_from_project(record.pk)  # a notebook that was renamed since
    for path in notebooks:
        cache.add_nb_to_project(str(path))
    result = load_executor("local-parallel", cache).run_and_cache(timeout=CELL_TIMEOUT)
    failures = []
    for uri in (*result.excepted, *result.errored):
        traceback = cache.get_project_record(uri).traceback
        failures.append((Path(uri), traceback or "the notebook could not be run at all"))
    for uri in result.succeeded:
        seconds = cache.get_cached_project_nb(uri).data.get("execution_seconds", 0.0)
        print(f"executed {uri} in {seconds:.0f} s")
    return failures


def main() -> int:
    """Execute the book's notebooks; the exit status is 1 if a cell failed."""
    root, build = Path.cwd(), Path("_build").resolve()
    if forget_outdated(root, build):
        print("segtut, the pinned versions or the recorded runs changed: every notebook runs again")
    failures = execute(notebooks_in_toc(root), build / ".jupyter_cache")
    for path, traceback in failures:
        print(f"\n{path.relative_to(root)} failed:\n{traceback}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
