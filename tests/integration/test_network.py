"""A bad network between the real process and the gateway: slow, thin, cut anywhere, silent, gone, and well again.

A proxy of ours breaks the line everywhere; where this is root, the kernel does too, in a network namespace of its own.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mo_sync.sandbox import Gateway
from tests.lacking import forbidden, need
from tests.site import Site
from tests.toxic import Line, Toxic, lossy
from tests.trouble import LIMIT_S, Bed, events_of, eventually, one_line_an_attempt, secretive, shows_no_secret
from tests.wire import WireServer, answer, says

ROOT = Path(__file__).resolve().parents[2]
PATIENT = {"gateway": {"read_timeout": "1s"}, "sync": {"lease": "1s", "workers": 4}, "retry": {"max_attempts": 12}}


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with secretive() as gateway:
        yield gateway


@contextmanager
def daemon(site: Site) -> Iterator[subprocess.Popen[str]]:
    """``mo-sync run``, its log in ``said``; at the end SIGTERM, which must end it well."""
    with (site.root / "said").open("w") as log, site.start("run", stdout=log, stderr=log) as process:
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT_S) == 0
        finally:
            process.kill()


def bed_behind(tmp_path: Path, gateway: Gateway, toxic: Toxic) -> Bed:
    return Bed(tmp_path / "site", gateway, toxic.base_url, settings=PATIENT)


def settle(bed: Bed) -> str:
    done = bed.site.sync_until_settled()
    assert done.returncode == 0, (done.stderr[-2000:], bed.reasons())
    bed.all_well()
    return done.stdout + done.stderr


def test_a_slow_line_costs_no_attempt(tmp_path: Path, gateway: Gateway) -> None:
    with Toxic(gateway.base_url, line=Line(latency_s=0.3)) as toxic:
        bed = bed_behind(tmp_path, gateway, toxic)
        for number in range(6):
            bed.announce(f"{number}", kind="jpeg")
        settle(bed)

    assert bed.site.query("select distinct attempts from attachment") == [(1,)]


def test_over_16_kbit_a_file_keeps_its_lease_and_comes_whole_at_the_first_attempt(
    tmp_path: Path, gateway: Gateway
) -> None:
    """Three leases long; no silence is longer than a moment, so no time limit strikes."""
    with Toxic(gateway.base_url, line=Line(bits_per_s=16_000)) as toxic:
        bed = bed_behind(tmp_path, gateway, toxic)
        bed.announce("thin", padding=6_000)
        settle(bed)

    assert bed.attempts("thin") == [("stored", None, None, None)]


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_line_that_is_cut_after_any_number_of_bytes_brings_whole_files_in_the_end(
    tmp_path: Path, gateway: Gateway, reset: bool
) -> None:
    """The first connections are cut after 0, 50, 100 … bytes: in headers, between answers, and in bodies."""

    def mood(number: int) -> Line:
        return Line(cut_after=number * 50, reset=reset) if number < 24 else Line()

    with Toxic(gateway.base_url, mood=mood) as toxic:
        bed = bed_behind(tmp_path, gateway, toxic)
        for number in range(4):
            bed.announce(f"{number}")
        said = settle(bed)

    assert toxic.connections > 4
    shows_no_secret(bed.site, said)
    verdicts = {row[0] for row in bed.site.query("select distinct outcome from attempt")}
    assert verdicts <= {"retry", "throttled", "stored"}


def test_a_lossy_line_brings_every_file_whole_and_once(tmp_path: Path, gateway: Gateway) -> None:
    """Every connection dies at a random byte."""
    with Toxic(gateway.base_url, mood=lossy(11, most=4_000)) as toxic:
        bed = Bed(tmp_path / "site", gateway, toxic.base_url, settings=PATIENT | {"retry": {"max_attempts": 60}})
        for number in range(25):
            bed.announce(f"{number}", padding=500)
        settle(bed)

    assert toxic.connections > 10
    assert bed.site.query("select count(*) from attempt where outcome = 'stored'") == [(25,)]


@pytest.mark.parametrize(
    ("line", "code", "exit_code"),
    [
        (Line(swallow=True), "read-timeout", 75),
        (Line(refuse=True), "reset", 75),
        (Line(cut_after=0), "reset", 75),
    ],
    ids=["blackhole", "reset at once", "closed at once"],
)
def test_without_any_answer_a_pass_ends_with_75_and_the_next_goes_on(
    tmp_path: Path, gateway: Gateway, line: Line, code: str, exit_code: int
) -> None:
    # Its next attempt is not due within the same pass, whatever the dice say.
    patient = PATIENT | {"retry": {"max_attempts": 12, "base": "2s", "max_delay": "2s"}}
    with Toxic(gateway.base_url, line=line) as toxic:
        bed = Bed(tmp_path / "site", gateway, toxic.base_url, settings=patient)
        bed.announce("it")
        done = bed.site.run("--sync-now")

        assert done.returncode == exit_code, done.stderr
        assert {row[3] for row in bed.attempts("it")} == {code}
        one_line_an_attempt(bed.site, done.stderr)
        shows_no_secret(bed.site, done.stdout + done.stderr)
        toxic.line = Line()
        settle(bed)


def test_a_daemon_whose_connections_go_half_open_makes_new_ones(tmp_path: Path, gateway: Gateway) -> None:
    """Kept connections look alive and swallow everything, as after a firewall forgot them."""
    with Toxic(gateway.base_url) as toxic:
        bed = bed_behind(tmp_path, gateway, toxic)
        bed.announce("before")
        with daemon(bed.site):
            eventually(lambda: bed.state("before")[0] == "stored", what=bed.reasons)
            kept = toxic.connections
            toxic.line = Line(swallow=True)
            bed.announce("amid")
            eventually(lambda: bed.attempts("amid"), what=bed.reasons)
            toxic.line = Line()
            eventually(lambda: bed.state("amid")[0] == "stored", what=bed.reasons)
        bed.all_well()

    assert toxic.connections > kept
    assert bed.attempts("amid")[0][3] == "read-timeout"


def test_a_daemon_lives_through_an_outage_uses_up_no_attempt_and_catches_up(tmp_path: Path, gateway: Gateway) -> None:
    """Nothing listens at all; then the gateway is there. What waited longest is not lost, nothing is hammered."""
    toxic = Toxic(gateway.base_url)
    toxic._listener.close()
    bed = bed_behind(tmp_path, gateway, toxic)
    for number in range(5):
        bed.announce(f"{number}")
    with daemon(bed.site):
        eventually(lambda: bed.site.query("select 1 from attempt"), what=bed.reasons)
        assert bed.site.query("select distinct code from attempt") == [("connect-failed",)]
        assert bed.site.query("select max(attempts) from attachment") == [(0,)]
        host, port = toxic.base_url.removeprefix("http://").split(":")
        with _forwarding(host, int(port), gateway):
            eventually(lambda: bed.site.states() == {"stored": 5}, what=bed.reasons)
    bed.all_well()
    assert bed.site.query("select distinct attempts from attachment") == [(1,)]
    shows_no_secret(bed.site, (bed.site.root / "said").read_text())


@contextmanager
def _forwarding(host: str, port: int, gateway: Gateway) -> Iterator[None]:
    """From now on somebody listens there."""
    late = Toxic(gateway.base_url)
    late._listener.close()
    import socket

    late._listener = socket.create_server((host, port), backlog=256)
    with late:
        yield


def test_a_name_that_is_gone_is_told_once_a_try_and_ends_with_75(tmp_path: Path) -> None:
    bed = Bed(tmp_path / "site", None, "http://gateway.invalid:8080")
    bed.announce("it")

    done = bed.site.run("--sync-now")

    assert done.returncode == 75, done.stderr
    assert bed.state("it") == ("pending", 0)
    assert bed.attempts("it")[0] == ("throttled", "mint", None, "dns-failed")
    shows_no_secret(bed.site, done.stdout + done.stderr)


def test_a_proxy_that_asks_for_credentials_holds_the_application_and_its_mending_frees_it(
    tmp_path: Path, gateway: Gateway
) -> None:
    """407 is the proxy's word, whatever the gateway would have said."""
    with WireServer(says(answer(407, b"who are you", Proxy_Authenticate="Basic", Connection="close"))) as proxy:
        with_password = proxy.url.replace("//", "//me:pr0xy-s3cret@")
        bed = Bed(tmp_path / "site", gateway, "http://gateway.invalid", settings={"gateway": {"proxy": with_password}})
        bed.announce("it")
        done = bed.site.run("--sync-now")

    assert done.returncode in (4, 75), done.stderr
    assert bed.attempts("it")[0] == ("hold", "mint", 407, None)
    assert bed.state("it") == ("pending", 0)
    assert bed.site.query("select id, state from application") == [("17226", "held")]
    assert "pr0xy-s3cret" not in done.stdout + done.stderr
    mended = {**bed.site.tables["gateway"], "base_url": gateway.base_url}
    del mended["proxy"]
    bed.site.configure({**bed.site.tables, "gateway": mended})
    settle(bed)


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 that ended in 2021, and its key, in one file."""
    need("openssl", package="openssl")
    folder = tmp_path_factory.mktemp("expired")
    (folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=.\ndatabase=db\nserial=serial\ndefault_md=sha256\npolicy=p\n"
        "x509_extensions=e\n[p]\ncommonName=supplied\n[e]\nsubjectAltName=IP:127.0.0.1\nbasicConstraints=CA:true\n"
    )
    (folder / "db").write_text("")
    (folder / "serial").write_text("01\n")
    request = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=old", "-keyout", "k", "-out", "csr"]
    sign = ["openssl", "ca", "-batch", "-config", "ca.cnf", "-selfsign", "-keyfile", "k", "-in", "csr", "-out", "crt",
            "-notext", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z"]  # fmt: skip
    for command in (request, sign):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / "both.pem").write_text((folder / "k").read_text() + (folder / "crt").read_text())
    return folder


def test_an_expired_certificate_holds_the_application_and_nothing_is_sent(tmp_path: Path, expired: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(expired / "both.pem")
    with WireServer(says(answer(200, b'{"id": "x"}', kind="application/json")), context) as server:
        trusting = {"gateway": {"ca_bundle": str(expired / "crt")}}
        bed = Bed(tmp_path / "site", None, server.url, settings=trusting)
        bed.announce("it")
        done = bed.site.run("--sync-now")

    assert done.returncode in (4, 75), done.stderr
    assert bed.attempts("it")[0] == ("hold", "mint", None, "certificate-refused")
    assert bed.state("it") == ("pending", 0)
    [(reason,)] = bed.site.query("select reason from application")
    assert "expired" in reason
    assert server.asked == []
    held = [line for line in events_of(done.stderr) if line["event"].startswith("attachment.")]
    assert len(held) == 1


CONDITIONS = {
    "delay and loss": "tc qdisc add dev lo root netem delay 40ms 20ms loss 4%",
    "reordered and doubled": "tc qdisc add dev lo root netem delay 20ms reorder 25% duplicate 5%",
    "16 kbit/s": "tc qdisc add dev lo root tbf rate 16kbit burst 2000 latency 30s",
    "cut for a second": "(sleep 0.6; ip link set lo down; sleep 1; ip link set lo up) &",
}


@pytest.mark.root
@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_real_bad_line_costs_no_file(tmp_path: Path, condition: str) -> None:
    """The kernel's own delay, loss and cut, in a network namespace that gateway and mo-sync share."""
    _needs_namespaces()
    script = f'ip link set lo up && ip link set lo mtu 1500 && {CONDITIONS[condition]} && exec "$0" "$@"'
    if condition == "cut for a second":
        script = f'ip link set lo up; {CONDITIONS[condition]} exec "$0" "$@"'
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, sys.executable, "-m", "tests.integration.behind_a_bad_line",
         str(tmp_path / "site")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    # A kernel's modules are not for a test to install: the tests' own proxy does the same to every line.
    if done.returncode:
        what = f"THIS KERNEL HAS NO SUCH QDISC, so {condition} was tried with the tests' own proxy only"
        forbidden(what, done.stderr, signs=["qdisc kind is unknown"])
    told = json.loads(done.stdout)

    assert told["states"] == {"stored": told["wanted"]}, told
    assert told["damaged"] == []


def _needs_namespaces() -> None:
    need("unshare", package="util-linux")
    need("ip", "tc", package="iproute2")
    # A sandbox may forbid it to root too, and no package helps: the tests' own proxy does the same to every line.
    made = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True, text=True)
    if made.returncode:
        what = "root, but no network namespace can be made here"
        forbidden(what, made.stderr, signs=["Operation not permitted", "Invalid argument"])
