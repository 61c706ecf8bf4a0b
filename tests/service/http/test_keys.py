"""The file of API keys."""

from hashlib import sha256
from pathlib import Path

import pytest

from service.app import create_app
from service.http.keys import ANONYMOUS, ApiKey, Keys, read_keys
from service.http.problems import Problem
from service.settings import Settings


def keys_of(path: Path, text: str, **settings: str) -> Keys:
    file = path / "keys.toml"
    file.write_text(text, "utf-8")
    return read_keys(Settings.model_validate({"api_keys_file": str(file), **settings}))


def test_without_keys_everybody_is_the_same_caller() -> None:
    keys = read_keys(Settings())
    assert len(keys) == 0
    assert keys.require([]) is ANONYMOUS
    assert keys.require(["something"]) is ANONYMOUS


def test_keys_have_names_and_limits(tmp_path: Path) -> None:
    keys = keys_of(
        tmp_path,
        f"""
        [studio]
        secret = "sésame"
        weight = 2
        concurrent = 8
        audio_seconds_per_minute = 600
        [archive]
        sha256 = "{sha256(b"abc").hexdigest()}"
        audio_seconds_per_hour = 36000.5
        """,
        api_keys="one, two",
    )
    studio = keys.require(["sésame".encode().decode("latin-1")])  # as a header comes
    assert (studio.name, studio.weight, studio.concurrent) == ("studio", 2, 8)
    assert (studio.per_minute, studio.per_hour) == (600, None)
    archive = keys.require(["wrong", "abc"])
    assert (archive.name, archive.weight, archive.per_hour) == ("archive", 1, 36000.5)
    assert keys.require(["two"]).name == "key-2"
    assert len(keys) == 4
    for given in ([], ["three"], [sha256(b"abc").hexdigest()]):
        with pytest.raises(Problem) as refused:
            keys.require(given)
        assert refused.value.status == 401


def test_a_key_keeps_its_digest_and_not_its_secret(tmp_path: Path) -> None:
    key = keys_of(tmp_path, '[a]\nsecret = "very-secret"').require(["very-secret"])
    assert "very-secret" not in repr(key)
    assert key == ApiKey("a", sha256(b"very-secret").digest())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no API keys"),
        ("[a", "cannot be read"),
        ("[a]", "either secret or sha256"),
        ('[a]\nsecret = ""', "either secret or sha256"),
        ('[a]\nsecret = "x"\nsha256 = "' + 64 * "0" + '"', "either secret or sha256"),
        ('[a]\nsha256 = "x"', "sha256"),
        ('[a]\nsecret = "x"\nconcurrent = 0', "concurrent"),
        ('[a]\nsecret = "x"\naudio_seconds_per_minute = inf', "audio_seconds_per_minute"),
        ('[a]\nsecret = "x"\nweight = 0', "weight"),
        ('[a]\nsecret = "x"\ncolour = "red"', "colour"),
        ('["a b"]\nsecret = "x"', "a name is"),
        ('[anonymous]\nsecret = "x"', "a name is"),
        ('a = "secret"', "a: "),
        ('[a]\nsecret = "x"\n[b]\nsecret = "x"', "the same secret"),
    ],
)
def test_a_wrong_file_is_refused_and_no_secret_is_shown(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        keys_of(tmp_path, text)
    assert '"x"' not in str(refused.value)


def test_a_name_of_the_file_may_not_be_one_of_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the same name"):
        keys_of(tmp_path, '[key-1]\nsecret = "x"', api_keys="y")


def test_a_service_does_not_start_open_where_its_file_is_not_there(tmp_path: Path) -> None:
    settings = Settings.model_validate({"device": "cpu", "api_keys_file": str(tmp_path / "no")})
    with pytest.raises(ValueError, match="cannot be read"):
        create_app(settings)
