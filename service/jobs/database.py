"""The table of jobs, in SQLite or PostgreSQL."""

import sqlite3
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from .job import Input, Job, Order, Progress, State

table = sa.Table(
    "encodec_jobs",
    sa.MetaData(),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("order", sa.JSON(none_as_null=True), nullable=False),
    sa.Column("input", sa.JSON(none_as_null=True)),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False, default=0),
    sa.Column("tries", sa.Integer, nullable=False, default=0),
    sa.Column("bytes", sa.BigInteger, nullable=False, default=0),  # of its files
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("started", sa.Double),
    sa.Column("finished", sa.Double),
    sa.Column("expires", sa.Double),
    sa.Column("seconds", sa.Double, nullable=False, default=0.0),
    sa.Column("share", sa.Double),
    sa.Column("result_bytes", sa.BigInteger, nullable=False, default=0),
    sa.Column("headers", sa.JSON(none_as_null=True)),
    sa.Column("etag", sa.Text),
    sa.Column("problem", sa.JSON(none_as_null=True)),
    sa.Column("due", sa.Double, nullable=False, default=0.0),  # when it may be taken; a lease's end
    sa.Column("webhook_state", sa.Text),
    sa.Column("webhook_tries", sa.Integer, nullable=False, default=0),
    sa.Column("webhook_due", sa.Double),
    sa.UniqueConstraint("owner", "idempotency_key"),
    sa.Index("encodec_jobs_due", "state", "due"),
)


SQLITE_PATIENCE = 30.0
"""Seconds that another process may hold SQLite's lock."""


def open_database(url: str) -> sa.Engine:
    """A database that has the table. Each statement is a transaction of its own.

    Raises `DBAPIError` where it cannot be reached, and `ValueError` for what is no URL of one.
    """
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "hide_parameters": True}
    try:
        found = make_url(url)
        lite = found.get_backend_name() == "sqlite"
        if lite:
            options["connect_args"] = {"timeout": SQLITE_PATIENCE}
        else:
            options |= {"connect_args": {"connect_timeout": 5}, "pool_pre_ping": True}
        engine = sa.create_engine(found, **options)
    except ArgumentError as error:  # a kind of database that is not known is one
        raise ValueError("it is no URL of a database, such as postgresql+psycopg://…") from error
    if lite:
        sa.event.listen(engine, "connect", _prepare_sqlite)
    try:
        table.create(engine, checkfirst=True)
    except DBAPIError:  # another replica has just made it
        if not sa.inspect(engine).has_table(table.name):
            raise
    return engine


def sqlite_url(path: str) -> str:
    """That of a file."""
    return URL.create("sqlite", database=path).render_as_string()


def _prepare_sqlite(connection: Any, record: object) -> None:
    _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")  # what has been said to be done stays so


def _switch_to_wal(connection: Any) -> None:
    """SQLite does not wait where another replica switches at the same moment; so wait here."""
    until = time.monotonic() + SQLITE_PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # of any kind
            if not busy or time.monotonic() > until:
                raise
        time.sleep(0.05)


def job_of(row: sa.Row[Any]) -> Job:
    """What a row of the table says."""
    found = row._mapping
    received = found["input"]
    return Job(
        id=found["id"],
        order=Order(**found["order"]),
        input=None if received is None else Input(**received),
        state=State(found["state"]),
        progress=Progress(found["seconds"], found["share"]),
        **{name: found[name] for name in _PLAIN},
    )


_PLAIN = (
    *("attempt", "tries", "created", "started", "finished", "expires", "result_bytes", "headers"),
    *("etag", "problem", "webhook_state", "webhook_tries", "webhook_due"),
)
