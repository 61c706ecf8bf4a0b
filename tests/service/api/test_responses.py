"""Content negotiation (`Accept`) and the file names that answers carry."""

import httpx
import pytest

from service.api.responses import attachment, choose_ecdc_type, choose_type
from service.http.problems import Problem, ProblemCode
from tests.service.calls import compressed, refused
from tests.service.sounds import wav

OFFERS = ("application/json", "application/x-npz")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("APPLICATION/X-NPZ", "application/x-npz"),
        ("application/json;q=0.5, application/x-npz", "application/x-npz"),
        ("application/json ; q=0.5 , application/x-npz;q=0.6", "application/x-npz"),
        ("application/x-npz;q=0.2, */*;q=0.8", "application/json"),
        ("application/json;q=0, */*;q=0.1", "application/x-npz"),
        ("application/*;q=0.1, */*;q=0.9", "application/json"),
        ("text/html, */*;q=0.1", "application/json"),
        ("application/x-npz;q=7, application/json", "application/json"),
    ],
)
def test_the_type_with_the_highest_weight_is_chosen_the_first_of_equals(
    accept: str, chosen: str
) -> None:
    assert choose_type(accept, OFFERS) == chosen


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", "application/json;q=x", "*/*;q=-1"]
)
def test_no_acceptable_type_is_a_406(accept: str) -> None:
    with pytest.raises(Problem) as refusal:
        choose_type(accept, OFFERS)
    assert refusal.value.code is ProblemCode.NOT_ACCEPTABLE
    assert "application/json, application/x-npz" in refusal.value.detail


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/octet-stream"),
        ("*/*", "application/octet-stream"),
        ("audio/x-encodec", "audio/x-encodec"),
        ("audio/x-encodec;q=0.5, */*;q=0.1", "audio/x-encodec"),
        ("audio/x-encodec;q=0.1, */*", "application/octet-stream"),
        ("audio/*", "audio/x-encodec"),
        ("audio/wav", "application/octet-stream"),
        ("*/*;q=0", "application/octet-stream"),
    ],
)
def test_ecdc_files_have_their_own_type_for_clients_that_prefer_it(
    accept: str, chosen: str
) -> None:
    assert choose_ecdc_type(accept) == chosen


def test_bodies_and_answers_of_audio_x_encodec(client: httpx.Client) -> None:
    file = compressed(client, wav(0.3), format=1)
    headers = {"content-type": "audio/x-encodec", "accept": "audio/x-encodec"}
    answer = client.post("/transcode?format=0", content=file, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/x-encodec")
    assert int(answer.headers["content-length"]) == len(answer.content)
    for call in ("/decompress", "/inspect"):
        assert client.post(call, content=file, headers=headers | {"accept": "*/*"}).is_success
    part = {"file": ("x.ecdc", file, "audio/x-encodec")}
    assert client.post("/decompress", files=part).is_success


@pytest.mark.parametrize("call", ["/decompress", "/roundtrip"])
def test_audio_is_wav_by_any_of_its_names_or_a_406(client: httpx.Client, call: str) -> None:
    content = compressed(client, wav(0.2)) if call == "/decompress" else wav(0.2)
    answer = client.post(call, content=content, headers={"accept": "audio/aac"})
    assert "audio/wav" in refused(answer, 406, "not_acceptable")["detail"]
    for accept in ("audio/*", "audio/x-wav", "application/json, */*;q=0.1", ""):
        answer = client.post(call, content=content, headers={"accept": accept})
        assert answer.headers["content-type"] == "audio/wav"


@pytest.mark.parametrize(
    ("filename", "plain", "encoded"),
    [
        (None, "audio.ecdc", None),
        ("", "audio.ecdc", None),
        ("...", "audio.ecdc", None),
        ("take 1.final.wav", "take 1.final.ecdc", None),
        ("/etc/passwd", "passwd.ecdc", None),
        ("C:\\music\\song.mp3", "song.ecdc", None),
        ("früh.wav", "fr_h.ecdc", "fr%C3%BCh.ecdc"),
        ('a"b.wav', "a_b.ecdc", "a%22b.ecdc"),
        ("a\r\nSet-Cookie: x.wav", "aSet-Cookie_ x.ecdc", "aSet-Cookie%3A%20x.ecdc"),
        ("x" * 500 + ".wav", "x" * 100 + ".ecdc", None),
    ],
)
def test_an_attachment_is_named_after_the_upload(
    filename: str | None, plain: str, encoded: str | None
) -> None:
    extended = "" if encoded is None else f"; filename*=UTF-8''{encoded}"
    assert attachment(filename, ".ecdc") == f'attachment; filename="{plain}"{extended}'
