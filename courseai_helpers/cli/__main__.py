"""Runs the `courseai` command as `python -m courseai_helpers.cli`."""

import sys

from courseai_helpers.cli.main import main

sys.exit(main())
