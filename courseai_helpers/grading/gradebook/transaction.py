"""Makes all that nbgrader does to a gradebook one transaction.

nbgrader reopens the gradebook in every step and commits after every change. Through
a URL that names the plugin below, all of these share one connection, and nothing is
committed until the end.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar

import sqlalchemy
from sqlalchemy.engine import URL, CreateEnginePlugin, Engine, make_url
from sqlalchemy.pool import StaticPool

PLUGIN = "courseai_transaction"


class SharedConnection(CreateEnginePlugin):
    """Makes an engine use the connection that `open_transaction` has opened."""

    current: Any = None  # the open DBAPI connection
    # Each opening makes an engine of its own. What they have in common, so that a query
    # is compiled once and not once in each: dialects by name, and compiled queries.
    dialects: ClassVar[dict[str, Any]] = {}
    compiled: ClassVar[dict[Any, Any]] = {}

    def __init__(self, url: URL, kwargs: dict[str, Any]):
        super().__init__(url, kwargs)
        connection = type(self).current
        if connection is None:
            raise RuntimeError("A gradebook's URL was used after its transaction.")
        kwargs.update(
            creator=lambda: connection,
            poolclass=StaticPool,
            pool_reset_on_return=None,
            execution_options={"compiled_cache": self.compiled},
        )

    def update_url(self, url: URL) -> URL:
        """Hides the plugin's name from the database."""
        return url.difference_update_query(["plugin"])

    def engine_created(self, engine: Engine) -> None:
        """Leaves ending the transaction to `open_transaction`."""
        for action in ("do_commit", "do_rollback", "do_close", "do_terminate"):
            setattr(engine.dialect, action, lambda connection: None)
        # nbgrader looks for each of its tables whenever it opens a gradebook.
        setattr(engine.dialect, "has_table", lambda *_, **__: True)  # noqa: B010
        engine.dialect = self.dialects.setdefault(engine.name, engine.dialect)


sqlalchemy.dialects.plugins.register(PLUGIN, __name__, SharedConnection.__name__)


@contextlib.contextmanager
def open_transaction(engine: sqlalchemy.Engine, *, keep: bool = True) -> Iterator[str]:
    """Opens a transaction for code that opens the gradebook by its URL.

    Everything is committed at the end, or nothing if an exception is raised.

    Args:
        engine: The gradebook's.
        keep: Whether to commit at the end; without, everything is taken back.

    Yields:
        The URL to open the gradebook with.
    """
    with engine.connect() as connection:
        SharedConnection.current = connection.connection.dbapi_connection
        try:
            url = make_url(engine.url).update_query_dict({"plugin": PLUGIN})
            yield url.render_as_string(hide_password=False)
            if keep:
                SharedConnection.current.commit()
            else:
                SharedConnection.current.rollback()
        except BaseException:
            SharedConnection.current.rollback()
            raise
        finally:
            SharedConnection.current = None
