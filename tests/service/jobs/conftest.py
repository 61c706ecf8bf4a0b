"""The databases that jobs are kept in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.jobs.database import sqlite_url
from tests.service.jobs.postgres import is_here, postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    if not is_here():
        pytest.skip("there is no PostgreSQL here")
    with postgres() as server:
        yield server.url


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return sqlite_url(str(tmp_path / "jobs.sqlite3"))
    return empty(request.getfixturevalue("postgres_server"))


@pytest.fixture
def empty_postgres(postgres_server: str) -> str:
    return empty(postgres_server)


def empty(server: str) -> str:
    """A database of PostgreSQL with nothing in it."""
    import sqlalchemy as sa

    engine = sa.create_engine(server)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS encodec_jobs"))
    engine.dispose()
    return server
