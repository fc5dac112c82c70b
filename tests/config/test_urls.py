"""URLs of sources: what counts as a secret, and what a message shows of one."""

import pytest

from mtl.config import parse
from mtl.config.urls import issue_of, parts_of, redacted, with_values, without_values
from mtl.errors import ParamsError

PUBLIC = [
    "data/mood.csv",
    "data/what?.csv",
    "file:///data/a?token=b.csv",
    "https://host:8080/mood.csv?download=1&raw",
    "https://host/mood.csv?format=csv&versionId=3HL4kqtJlcpXroDTDmJ",
    "https://host/mood.csv?anything=true",
    "https://ann:${env:PASSWORD}@host/mood.csv?token=${env:TOKEN}",
    "https://${env:TOKEN}@host/mood.csv",
    "https://host/mood.csv?${env:SIGNATURE}",
    "tar://a.txt::https://${env:TOKEN}@host/a.tar.gz",
    "http://[::1]:8000/mood.csv",
    "zip://a.csv::http://[2001:db8::1]/a.zip",
    "github://org:repo@main/data",
    "abfs://container@account.dfs.core.windows.net/mood.csv",
    "sftp://ann@host/mood.csv",
    "hf://gpt2@main",
    "pypi://NAME==1.0/data/a.csv",
]
SECRET = [
    "http://ann:Sesame@127.0.0.1:80/mood.csv",
    "https://Sesame@host/mood.csv",
    "HTTPS://ann:Sesame@host/mood.csv",
    "https://${env:LOGIN}:Sesame@host/mood.csv",
    "https://host/mood.csv?token=Sesame",
    "https://host/mood.csv?TOKEN=Sesame",
    "https://host/mood.csv?download=1;sig=Sesame",
    "https://host/mood.csv?X-Amz-Signature=Sesame",
    "https://host/mood.csv?%74oken=Sesame",
    "https://host/mood.csv?Sesame",
    "https://host/mood.csv#access_token=Sesame",
    "https://host/mood.csv?token=Sesame${env:NAME}",
    "tar://a.txt::https://host/a.tar.gz?key=Sesame",
    "zip://a?b=Sesame.csv::https://host/a.zip",
    "sftp://ann:Sesame@host/mood.csv",
    "s3://id:Sesame@bucket/mood.csv",
    "hf://hf_Sesame@owner/name",
]
INVALID = ["http://[::1", "http://", "https://host:port/a", "https://ann:pa/ss@host/a", "${HOME}/a.csv", "${env:}/a", "${env:S}://host/a"]


@pytest.mark.parametrize("url", PUBLIC)
def test_a_url_without_secrets_is_kept_and_shown(url: str) -> None:
    assert issue_of(url) is None
    assert redacted(f"cannot fetch '{url}': no") == f"cannot fetch '{url}': no"


@pytest.mark.parametrize("url", SECRET)
def test_a_literal_secret_is_refused_and_never_shown(url: str) -> None:
    issue = issue_of(url)
    assert issue
    assert "Sesame" not in issue
    assert "${env:" in issue
    if not url.startswith("zip://"):  # the path in an archive is not a URL
        assert "Sesame" not in redacted(f"Client error for url '{url}' (at {url})")


@pytest.mark.parametrize("url", INVALID)
def test_an_invalid_url_is_refused(url: str) -> None:
    assert issue_of(url)


@pytest.mark.parametrize(
    "source", [{"url": SECRET[0]}, SECRET[0], [SECRET[4]], {"train": {"url": SECRET[4]}}, {"url": SECRET[4], "sha": 1}]
)
def test_no_message_about_settings_shows_a_secret(source: object) -> None:
    content = {"datasets": {"mood": {"source": source, "reader": {"format": "csv"}}}}
    with pytest.raises(ParamsError) as caught:
        parse(content)
    assert "datasets.mood.source" in str(caught.value)
    assert "Sesame" not in str(caught.value)


def test_an_ipv6_address_does_not_divide_a_chain() -> None:
    assert parts_of("tar://a::http://[fe80::1]/x::y") == ["tar://a", "http://[fe80::1]/x", "y"]


def test_a_password_is_encoded_and_hidden_in_every_form() -> None:
    values = {"PW": "p@s/s w:rd", "T": "a%2Bb"}
    url = with_values("http://ann:${env:PW}@host/${env:T}/a?token=${env:T}", values)
    assert url == "http://ann:p%40s%2Fs%20w%3Ard@host/a%2Bb/a?token=a%2Bb"
    for text in (url, "p@s/s w:rd", "p%40s%2Fs%20w%3Ard", "p%40s%2Fs+w%3Ard", "/a+b/", "GET /a%2Bb/a?token=a%2Bb"):
        hidden = without_values(text, values)
        assert not any(secret in hidden for secret in ("p@s", "p%40s", "a+b", "a%2Bb")), hidden
