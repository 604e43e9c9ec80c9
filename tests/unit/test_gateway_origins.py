"""Where credentials may go, and which redirects are followed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mo_sync.errors import ConfigurationError
from mo_sync.gateway.origins import Hop, Origin, base_of, follow, is_loopback, origin_of, segment

HOME = Origin("https", "api.syniverse.com", 443)
HERE = Hop("https://api.syniverse.com/a/b", with_credentials=True)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/c", Hop("https://api.syniverse.com/c", True)),
        ("c?d", Hop("https://api.syniverse.com/a/c?d", True)),
        ("https://api.syniverse.com/c#frag", Hop("https://api.syniverse.com/c", True)),
        ("https://API.Syniverse.com:443/c", Hop("https://API.Syniverse.com:443/c", True)),
        ("https://api.syniverse.com:8443/c", Hop("https://api.syniverse.com:8443/c", False)),
        ("https://store.example/c?sig=1", Hop("https://store.example/c?sig=1", False)),
        ("//store.example/c", Hop("https://store.example/c", False)),
        ("http://api.syniverse.com/c", None),
        ("http://store.example/c", None),
        ("https://user:pass@api.syniverse.com/c", None),
        ("https://api.syniverse.com@evil.example/c", None),
        ("ftp://store.example/c", None),
        ("javascript:alert(1)", None),
        ("file:///etc/passwd", None),
        ("https://store.example/\r\nX: y", None),
        ("https://st\u00f6re.example/c", None),
        ("https://[::1", None),
        ("https://store.example:99999/", None),
        ("", None),
        (None, None),
    ],
)
def test_a_redirect_of_content_keeps_credentials_at_home(location: str | None, expected: Hop | None) -> None:
    assert follow(HERE, location, HOME, elsewhere=True) == expected


@pytest.mark.parametrize("location", ["https://store.example/c", "https://api.syniverse.com:8443/c"])
def test_other_calls_are_not_redirected_to_other_origins(location: str) -> None:
    assert follow(HERE, location, HOME, elsewhere=False) is None


def test_credentials_do_not_come_back_by_way_of_another_host() -> None:
    away = Hop("https://store.example/c", with_credentials=False)

    assert follow(away, "https://api.syniverse.com/d", HOME, elsewhere=True) == Hop(
        "https://api.syniverse.com/d", with_credentials=False
    )


def test_plain_http_may_lead_to_plain_http() -> None:
    here = Hop("http://127.0.0.1:8080/a", with_credentials=True)
    home = Origin("http", "127.0.0.1", 8080)

    assert follow(here, "http://127.0.0.1:8081/b", home, elsewhere=True) == Hop("http://127.0.0.1:8081/b", False)


@given(st.text(max_size=60), st.booleans())
def test_credentials_never_follow_a_redirect_to_another_origin(location: str, elsewhere: bool) -> None:
    hop = follow(HERE, location, HOME, elsewhere=elsewhere)

    assert hop is None or not hop.with_credentials or origin_of(hop.url) == HOME


@pytest.mark.parametrize(
    ("base_url", "base", "shown"),
    [
        ("https://api.syniverse.com", "https://api.syniverse.com", "api.syniverse.com"),
        ("https://api.syniverse.com/", "https://api.syniverse.com", "api.syniverse.com"),
        ("http://127.0.0.1:8080/scg/", "http://127.0.0.1:8080/scg", "127.0.0.1:8080"),
        ("https://[::1]:8443", "https://[::1]:8443", "[::1]:8443"),
    ],
)
def test_a_base_url_is_an_origin_and_perhaps_a_path(base_url: str, base: str, shown: str) -> None:
    found, origin = base_of(base_url)

    assert (found, str(origin)) == (base, shown)


@pytest.mark.parametrize(
    "base_url",
    ["api.syniverse.com", "ftp://x", "https://", "https://u:p@x", "https://x?y", "https://x#y", "https://x:bad", ""],
)
def test_what_is_no_address_of_a_gateway_is_refused(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="base-url-invalid"):
        base_of(base_url)


@pytest.mark.parametrize(
    ("identity", "expected"),
    [("abc", "abc"), ("a/../b?c#d%e", "a%2F..%2Fb%3Fc%23d%25e"), ("é\n", "%C3%A9%0A"), (".", None), ("..", None)],
)
def test_an_id_is_one_segment_of_a_path_or_none(identity: str, expected: str | None) -> None:
    assert segment(identity) == expected


@given(st.text(max_size=40))
def test_no_id_leaves_its_segment(identity: str) -> None:
    path = segment(identity)

    assert path is None or (path not in ("", ".", "..") and path.isascii() and not set(path) & set("/?#\\ \r\n"))


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8080/x", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:80", True),
        ("http://localhost:80", True),
        ("https://a.localhost", True),
        ("https://api.syniverse.com", False),
        ("https://localhost.example", False),
        ("http://10.0.0.1", False),
        ("nonsense", False),
    ],
)
def test_loopback_is_this_machine_and_nothing_else(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback
