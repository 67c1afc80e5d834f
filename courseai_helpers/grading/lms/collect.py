"""Lets plain `nbgrader zip_collect` read what was downloaded from Canvas or Moodle.

    nbgrader zip_collect ASSIGNMENT \\
        --extractor=courseai_helpers.grading.lms.collect.LmsExtractor \\
        --collector=courseai_helpers.grading.lms.collect.LmsCollector
"""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from nbgrader.plugins import ExtractorPlugin, FileNameCollectorPlugin

from courseai_helpers.grading.lms.archives import Found, copy, unpack
from courseai_helpers.grading.lms.filenames import strip_copy
from courseai_helpers.grading.lms.senders import Students, find_time
from courseai_helpers.grading.lms.settings import open_gradebook


class LmsExtractor(ExtractorPlugin):
    """Unpacks archives, but nothing in them that is dangerous."""

    def extract(self, archive_path: str, extracted_path: str) -> None:
        """Unpacks all archives of a folder into another."""
        with tempfile.TemporaryDirectory() as workspace:
            result = unpack(Path(archive_path), Path(workspace))
            for found in result.files:
                path = Path(extracted_path, *found.name.parts)
                copy(found, path)
                # An archive within the download is a student's, and so are its times.
                dated = found.archives[1] if found.archives[1:] else found
                seconds = dated.time.replace(tzinfo=UTC).timestamp()
                os.utime(path, (seconds, seconds))
        for name, reason in result.refused.items():
            self.log.warning("Not unpacked: %s: %s", name, reason)


class LmsCollector(FileNameCollectorPlugin):
    """Tells by a file's name who sent it, and when."""

    def collect(self, submitted_file: str) -> dict | None:
        """Returns student, file and time; nothing if they can't be told."""
        path = Path(submitted_file)
        top = self.parent._format_collect_path(self.parent.extracted_directory)
        with open_gradebook(self.parent) as gradebook:
            name = self.parent.coursedir.assignment_id
            due = gradebook.find_assignment(name).duedate
            answer = Students(gradebook).find(PurePosixPath(path.relative_to(top)))
        if isinstance(answer, str):
            self.log.warning("%s: %s", path.name, answer)
            return None
        person, sender = answer
        changed = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None)
        found = Found(PurePosixPath(path.name), path, changed)
        time, _ = find_time(person, sender, found, due)
        file = sender.rest.with_stem(strip_copy(sender.rest.stem))
        return {
            "student_id": person.student,
            "file_id": str(file) if file.suffix == ".ipynb" else str(sender.rest),
            "timestamp": time.isoformat(" "),
        }
