"""Proxies and certificates, with real ones."""

from __future__ import annotations

import select
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr

from mo_sync import settings
from mo_sync.clock import SystemClock
from mo_sync.errors import ConfigurationError
from mo_sync.gateway import ContentToken, Credentials, Gateway
from mo_sync.lifecycle import Failed
from mo_sync.verdicts import Verdict
from tests.lacking import need
from tests.wire import Asked, Line, WireServer, answer, says

TOKEN = "app-s3cret"
MINTED = answer(body=b'{"id": "content-s3cret"}', kind="application/json")
PROXY_PASSWORD = "proxy-s3cret"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def gateway_of(base_url: str, **changes: object) -> Gateway:
    fixed = {"base_url": base_url, "token": SecretStr(TOKEN), "connect_timeout": 5, "read_timeout": 5}
    section = settings.Gateway.model_validate(fixed | changes)
    return Gateway(section, Credentials(section, {}), SystemClock(), version="test")


def minted(gateway: Gateway) -> ContentToken | Failed:
    found = gateway.mint("Mno4Xayql1oVOYAvP7Iy25", "17226")
    assert isinstance(found, ContentToken | Failed)
    assert "s3cret" not in repr(found)
    return found


def failure(found: object) -> Failed:
    assert isinstance(found, Failed), found
    return found


# proxies


def test_the_environments_proxy_is_asked_for_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    with WireServer(says(MINTED)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        found = minted(gateway_of("http://gateway.test"))

    assert isinstance(found, ContentToken)
    assert proxy.asked[0].target == "http://gateway.test/scg-external-api/api/v1/access_tokens"


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with WireServer(says(MINTED)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        gateway = gateway_of("http://gateway.test")
        monkeypatch.setenv("http_proxy", "http://gone.invalid:1")
        found = minted(gateway)

    assert isinstance(found, ContentToken)


@pytest.mark.parametrize("exempt", ["gateway.invalid", ".invalid", "*", "other.test, gateway.invalid:80"])
def test_no_proxy_is_honoured(monkeypatch: pytest.MonkeyPatch, exempt: str) -> None:
    with WireServer(says(MINTED)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("NO_PROXY", exempt)
        found = minted(gateway_of("http://gateway.invalid:80"))

    assert failure(found).code == "dns-failed"
    assert proxy.asked == []


def test_this_machine_itself_is_never_asked_for_by_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with WireServer(says(MINTED)) as server:
        found = minted(gateway_of(server.url))

    assert isinstance(found, ContentToken)


def test_the_configured_proxy_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://gone.invalid:1")
    monkeypatch.setenv("no_proxy", "*")
    with WireServer(says(MINTED)) as proxy:
        with_password = proxy.url.replace("//", f"//me:{PROXY_PASSWORD}@")
        found = minted(gateway_of("http://gateway.test", proxy=with_password))

    assert isinstance(found, ContentToken)
    assert proxy.asked[0].headers["proxy-authorization"].startswith("Basic ")


def test_a_proxy_that_wants_credentials_holds_the_application() -> None:
    with WireServer(says(answer(407, b"who are you", Connection="close"))) as proxy:
        plain = failure(minted(gateway_of("http://gateway.test", proxy=proxy.url)))
        tunnel = failure(minted(gateway_of("https://gateway.test", proxy=proxy.url)))

    assert (plain.status, plain.verdict) == (407, Verdict.HOLD)
    assert (tunnel.code, tunnel.verdict) == ("proxy-refused", Verdict.HOLD)


def test_a_proxy_that_is_down_or_refuses_uses_up_no_attempt() -> None:
    with WireServer(says(answer(403, b"not you", Connection="close"))) as proxy:
        refused = failure(minted(gateway_of("https://gateway.test", proxy=proxy.url)))
    down = failure(minted(gateway_of("https://gateway.test", proxy=f"http://me:{PROXY_PASSWORD}@{proxy.host}")))

    assert (refused.code, refused.verdict) == ("proxy-failed", Verdict.THROTTLED)
    assert "it answered 403" in refused.reason
    assert (down.code, down.verdict) == ("proxy-failed", Verdict.THROTTLED)


def test_a_proxy_that_speaks_no_http_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")

    with pytest.raises(ConfigurationError, match=r"proxy-invalid.*all_proxy"):
        gateway_of("http://gateway.test")


# certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``good.pem`` for 127.0.0.1, signed by itself, and ``other.pem`` for another name; keys inside."""
    need("openssl", package="openssl")
    folder = tmp_path_factory.mktemp("certificates")
    for name, subject in (("good", "IP:127.0.0.1"), ("other", "DNS:other.test")):
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
        files = ["-keyout", f"{name}.key", "-out", f"{name}.crt", "-addext", f"subjectAltName={subject}"]
        subprocess.run([*make, *files], cwd=folder, check=True, capture_output=True)
        whole = (folder / f"{name}.key").read_text() + (folder / f"{name}.crt").read_text()
        (folder / f"{name}.pem").write_text(whole)
    return folder


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_certificate_of_the_configured_bundle_is_trusted(certificates: Path) -> None:
    body = bytes(3_000_000)

    def play(line: Line, asked: Asked) -> None:
        line.send(MINTED if asked.method == "POST" else answer(body=body))

    with WireServer(play, serving(certificates / "good.pem")) as server:
        gateway = gateway_of(server.url, ca_bundle=certificates / "good.crt")
        token = minted(gateway)
        assert isinstance(token, ContentToken)
        found = gateway.open_content(token, "17226")
        assert not isinstance(found, Failed)
        pieces: list[bytes] = []
        with found:  # type: ignore[union-attr]
            found.pump(pieces.append, max_bytes=10**9)  # type: ignore[union-attr]

    assert b"".join(pieces) == body
    assert server.connections == 1


@pytest.mark.parametrize(("served", "trusted"), [("good", None), ("other", "other"), ("good", "other")])
def test_a_certificate_that_is_not_to_be_trusted_holds_the_application(
    certificates: Path, served: str, trusted: str | None
) -> None:
    bundle = certificates / f"{trusted}.crt" if trusted else None

    with WireServer(says(MINTED), serving(certificates / f"{served}.pem")) as server:
        found = failure(minted(gateway_of(server.url, ca_bundle=bundle)))

    assert (found.code, found.verdict) == ("certificate-refused", Verdict.HOLD)
    assert server.asked == []


def test_a_server_that_speaks_no_tls_is_told() -> None:
    with WireServer(says(MINTED), greeting=answer(400, b"TLS? Here?")) as server:
        found = failure(minted(gateway_of(server.url.replace("http:", "https:"))))

    assert (found.code, found.verdict) == ("tls-failed", Verdict.RETRY)
    assert server.asked == []


def test_a_body_cut_inside_tls_is_not_whole(certificates: Path) -> None:
    def play(line: Line, asked: Asked) -> None:
        line.send(MINTED if asked.method == "POST" else answer(body=bytes(500), length=1000))
        line.ended = asked.method == "GET"

    with WireServer(play, serving(certificates / "good.pem")) as server:
        gateway = gateway_of(server.url, ca_bundle=certificates / "good.crt")
        token = minted(gateway)
        assert isinstance(token, ContentToken)
        found = gateway.open_content(token, "17226")
        with found:  # type: ignore[union-attr]
            outcome = found.pump(lambda _data: None, max_bytes=10**9)  # type: ignore[union-attr]

    assert failure(outcome).code in ("truncated", "reset")


def test_from_https_content_is_not_redirected_to_http(certificates: Path) -> None:
    with (
        WireServer(says(answer(body=b"x"))) as plain,
        WireServer(says(answer(302, Location=plain.url)), serving(certificates / "good.pem")) as server,
    ):
        gateway = gateway_of(server.url, ca_bundle=certificates / "good.crt")
        found = failure(gateway.open_content(ContentToken("t", SystemClock().monotonic()), "17226"))

    assert found.code == "redirect-refused"
    assert plain.asked == []


def relay(line: Line, asked: Asked) -> None:
    """What a proxy does with CONNECT: passes bytes to and fro until one side ends."""
    host, _, port = asked.target.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as far:
        line.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        ends = {line.sock: far, far: line.sock}
        while ready := select.select(list(ends), [], [], 10)[0]:
            for end in ready:
                data = end.recv(65536)
                if not data:
                    line.end()
                    return
                ends[end].sendall(data)


def test_through_a_tunnel_only_the_gateway_sees_the_token(certificates: Path) -> None:
    with WireServer(says(MINTED), serving(certificates / "good.pem")) as server, WireServer(relay) as proxy:
        bundle = certificates / "good.crt"
        with_password = proxy.url.replace("//", f"//me:{PROXY_PASSWORD}@")
        gateway = gateway_of(server.url, ca_bundle=bundle, proxy=with_password)
        found = minted(gateway)
        gateway.close()

    assert isinstance(found, ContentToken)
    assert (proxy.asked[0].method, proxy.asked[0].target) == ("CONNECT", server.host)
    assert "authorization" not in proxy.asked[0].headers
    assert "proxy-authorization" not in server.asked[0].headers
