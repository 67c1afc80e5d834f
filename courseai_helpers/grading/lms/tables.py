"""CSV tables as LMSs and spreadsheets write them, and as it is safe to write them."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from courseai_helpers._common.errors import CourseError
from courseai_helpers._common.files import store
from courseai_helpers._common.printing import is_command

# A spreadsheet reads a cell that begins like this as a formula, and may run it. If it
# splits columns at other characters than commas, that holds for what follows one of
# them, too. Source: https://owasp.org/www-community/attacks/CSV_Injection
_START = r"(^|[,;|\t\r\n])"
_FORMULA = r"(?=[\s\"']*[=+\-@\uff1d\uff0b\uff0d\uff20])"


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Returns the header and the rows of a CSV file, without empty rows.

    Commas, semicolons and tabs may separate the columns. The text may be UTF-8, or
    what older spreadsheets on Windows write.

    Raises:
        CourseError: if it can't be read, or has no header.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CourseError(
            f"{path} can't be read ({error.strerror}). Give the path of a CSV file."
        ) from error
    text = decode(data, path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        filled = [[unguard(cell.strip()) for cell in row] for row in rows if any(row)]
    except csv.Error as error:
        raise CourseError(
            f"{path} is not a CSV file ({error}). Export it again, as CSV."
        ) from error
    if not filled:
        raise CourseError(f"{path} is empty. Export it again, as CSV.")
    header, *body = filled
    return header, [row + [""] * (len(header) - len(row)) for row in body]


def decode(data: bytes, path: Path) -> str:
    """Returns the text of a CSV file."""
    if b"\0" in data:
        raise CourseError(
            f"{path} is not a CSV file; it may be a spreadsheet. Open it in a "
            "spreadsheet program and save it as CSV (UTF-8)."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def unguard(cell: str) -> str:
    """Returns a cell without the guard against formulas."""
    if cell.startswith('="') and cell.endswith('"'):  # as Canvas does it
        return cell[2:-1]
    return re.sub(rf"{_START}'{_FORMULA}", r"\1", cell)


def guard(cell: str) -> str:
    """Returns a cell that no spreadsheet reads as a formula, not even in part."""
    plain = "".join(c for c in cell if c in "\t\n" or not is_command(c))
    return re.sub(f"{_START}{_FORMULA}", r"\1'", plain)


def write_table(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Writes a CSV file in UTF-8, whole or not at all; no cell of it is a formula.

    Raises:
        CourseError: if it can't be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerows([guard(str(cell)) for cell in row] for row in rows)
    try:
        store(path, text.getvalue().encode())
    except OSError as error:
        raise CourseError(
            f"{path} can't be written ({error.strerror}), so nothing was. Name another "
            "place with --to, or make room."
        ) from error
