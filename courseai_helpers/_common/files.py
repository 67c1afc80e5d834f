"""Files that are kept between two runs of a notebook."""

import os
import uuid
from pathlib import Path

import platformdirs


def find_cache() -> Path:
    """Returns the directory for photos: COURSEAI_CACHE, or else the user's cache."""
    named = os.environ.get("COURSEAI_CACHE", "").strip()
    if named:
        return Path(named).expanduser()
    return platformdirs.user_cache_path("courseai", appauthor=False)


def store(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all, making its directory where that is missing.

    Raises:
        OSError: If it cannot be written. No half-written file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with open(partial, "xb") as file:
            file.write(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
