"""Who may be told by webhook, at which addresses, and how what is sent is signed."""

import re
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from typed_settings.types import SecretStr

from mediaq.errors import NotAdmitted
from mediaq.fields import is_listed
from mediaq.pipelines.webhook import Receiver, find_receiver
from mediaq.posting import Message, is_public, sign
from mediaq.settings import Webhooks

README = Path(__file__).parents[2] / "README.md"
OTHER_SECRET = "whsec_" + "A" * 32
SETTINGS = Webhooks(
    hosts=("hooks.example.com", "*.example.org"),
    internal_hosts=("127.0.0.1", "::1", "*.internal"),
    secret=SecretStr(OTHER_SECRET),
)
PLAIN = attrs.evolve(SETTINGS, plain_http=True)


@pytest.mark.parametrize(
    ("url", "receiver"),
    [
        ("https://hooks.example.com", Receiver("https", "hooks.example.com", 443, internal=False)),
        (
            "HTTPS://HOOKS.example.com:8443/a?b=%2F",
            Receiver("https", "hooks.example.com", 8443, internal=False),
        ),
        ("https://a.example.org/", Receiver("https", "a.example.org", 443, internal=False)),
        ("https://a.b.example.org?x@y", Receiver("https", "a.b.example.org", 443, internal=False)),
        ("http://127.0.0.1/", Receiver("http", "127.0.0.1", 80, internal=True)),
        ("http://[::1]:9/", Receiver("http", "::1", 9, internal=True)),
        ("https://a.internal/", Receiver("https", "a.internal", 443, internal=True)),
    ],
)
def test_a_listed_host_is_found(url: str, receiver: Receiver) -> None:
    assert find_receiver(url, PLAIN) == receiver


FORM = "a URL like https://host/path is wanted"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://example.com/", "host example.com is not listed in webhooks.hosts"),
        ("https://example.org/", "host example.org is not listed"),
        ("https://evilexample.org/", "host evilexample.org is not listed"),
        ("https://hooks.example.com.evil.net/", "is not listed"),
        ("https://hooks.example.com./", "is not listed"),
        ("https://127.0.0.2/", "is not listed"),
        ("https://2130706433/", "is not listed"),
        ("https://0x7f.1/", "is not listed"),
        ("https://[::2]/", "is not listed"),
        ("https://[::ffff:127.0.0.1]/", "is not listed"),
        ("https://user@hooks.example.com/", FORM),
        ("https://user:word@hooks.example.com/", FORM),
        ("https://evil.net@hooks.example.com/", FORM),
        ("https://hooks.example.com\\@evil.net/", FORM),
        ("https://hooks.example.com/\\evil", FORM),
        ("https://hooks.example.com/#part", FORM),
        ("https://hooks.example.com/a b", FORM),
        ("https://hooks.example.com/\n", FORM),
        (" https://hooks.example.com/", FORM),
        ("https://hooks.example.com/\u00e9", FORM),
        ("https://h\u00f6oks.example.com/", FORM),
        ("https://hooks.example.com:x/", FORM),
        ("https://hooks.example.com:0/", "there is no port 0"),
        ("https://hooks.example.com:65536/", "there is no port 65536"),
        ("ftp://hooks.example.com/", FORM),
        ("//hooks.example.com/", FORM),
        ("hooks.example.com", FORM),
        ("https:///path", FORM),
    ],
)
def test_any_other_url_is_refused(url: str, reason: str) -> None:
    with pytest.raises(NotAdmitted) as refused:
        find_receiver(url, PLAIN)
    assert refused.value.field == "webhook.url"
    assert reason in str(refused.value)


def test_plain_http_is_refused_unless_it_is_allowed() -> None:
    with pytest.raises(NotAdmitted, match="it must begin with https://"):
        find_receiver("http://hooks.example.com/", SETTINGS)


def test_where_nobody_is_listed_the_field_itself_is_refused() -> None:
    with pytest.raises(
        NotAdmitted, match=r"webhooks are turned off here: webhooks\.hosts is empty"
    ) as refused:
        find_receiver("https://hooks.example.com/", Webhooks())
    assert refused.value.field == "webhook"


def test_a_star_stands_for_what_is_below_and_not_for_the_name_itself() -> None:
    hosts = ("*.example.org",)
    assert [is_listed(host, hosts) for host in ("a.example.org", "a.b.example.org")] == [True, True]
    assert [is_listed(host, hosts) for host in ("example.org", "evilexample.org")] == [False, False]


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::7f00:1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "ff02::1",
    ],
)
def test_addresses_that_lead_elsewhere_are_not(address: str) -> None:
    assert not is_public(address)


def is_genuine_by_the_readme(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """Verifies as the README tells those to do who receive."""
    found = re.search(r"```python\n((?:(?!```).)*def is_genuine.*?)```", README.read_text(), re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(found[1], names)  # noqa: S102 - our own README
    return bool(names["is_genuine"](headers, body, secret))


def test_a_signature_is_that_of_the_standards_own_example() -> None:
    message = Message("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}')
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert sign(message, [secret], 1614265330) == {
        "webhook-id": message.id,
        "webhook-timestamp": "1614265330",
        "webhook-signature": signature,
    }
    assert not is_genuine_by_the_readme(sign(message, [secret], 1614265330), message.body, secret)
    now = sign(message, [secret, OTHER_SECRET], int(time.time()))
    for each, genuine in ((secret, True), (OTHER_SECRET, True), ("whsec_" + "B" * 32, False)):
        assert is_genuine_by_the_readme(now, message.body, each) == genuine
    assert not is_genuine_by_the_readme(now, message.body + b" ", secret)
    both = sign(message, [secret, OTHER_SECRET], 1614265330)["webhook-signature"].split()
    assert (len(both), both[0]) == (2, signature)
