"""A new SQLite store: others may open it at the same moment."""

import sqlite3
import time
from pathlib import Path
from threading import Timer

import pytest
from sqlalchemy.exc import OperationalError

from service.jobs import database
from service.jobs.database import open_database, sqlite_url


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


def locked(path: Path) -> sqlite3.Connection:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN EXCLUSIVE")
    return other


def test_a_lock_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = locked(path)
    monkeypatch.setattr(database, "SQLITE_PATIENCE", 20.0)
    Timer(0.3, other.rollback).start()
    engine = open_database(sqlite_url(str(path)))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    engine.dispose()
    other.close()


def test_a_lock_that_stays_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = locked(path)
    monkeypatch.setattr(database, "SQLITE_PATIENCE", 0.2)
    with pytest.raises(OperationalError, match="locked"):
        open_database(sqlite_url(str(path)))
    other.close()


def test_nothing_else_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close()
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with pytest.raises(OperationalError, match="readonly"):
        open_database(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert not slept


@pytest.mark.parametrize("url", ["jobs", "postgres://user:secret@host/name"])
def test_what_is_no_url_of_a_database_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(ValueError, match="no URL of a database") as error:
        open_database(url)
    assert "secret" not in str(error.value)
