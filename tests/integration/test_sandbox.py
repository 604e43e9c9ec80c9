"""The embedded gateway answers as the API's description says, and as the official SDKs ask."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from mo_sync.sandbox import ANY_APPLICATION, Attachment, Gateway, ListRules, Message, demo_scenario, named

TOKENS = {"token-a": 17226, "token-b": 20881, "token-any": ANY_APPLICATION}
MESSAGING = "/scg-external-api/api/v1"
CONTENT = "/scg-attachment/api/v1/messaging/attachments"
PICTURE = Attachment("Mno4Xayql1oVOYAvP7Iy25", b"\xff\xd8\xff picture", "image/jpeg", "one", "one.jpg", "17226")


class Client:
    """Asks the gateway as one application."""

    def __init__(self, gateway: Gateway, token: str | None = "token-a") -> None:
        self._base = gateway.base_url
        self.host = gateway.base_url.removeprefix("http://")
        self._session = requests.Session()
        self._session.trust_env = False
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._session.request(method, self._base + path, timeout=10, allow_redirects=False, **options)

    def mint(self, attachment_id: str) -> str:
        body = {"resource": "ATTACHMENT", "resource_id": attachment_id}
        return str(self("POST", f"{MESSAGING}/access_tokens", json=body).json()["id"])

    def fetch(self, attachment_id: str) -> requests.Response:
        return self("GET", f"{CONTENT}/{self.mint(attachment_id)}/content")


class Clock:
    """Stands still until moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gateway(clock: Clock) -> Iterator[Gateway]:
    with Gateway(tokens=TOKENS, content_token_life_s=60, now=clock) as running:
        running.add_attachment(PICTURE)
        yield running


@pytest.fixture
def ask(gateway: Gateway) -> Client:
    return Client(gateway)


def error(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error_code"]


# fetching


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{MESSAGING}/access_tokens", {"resource": "ATTACHMENT", "resource_id": PICTURE.id}),
        (f"{MESSAGING}/messaging/attachments/{PICTURE.id}/access_tokens", {}),
    ],
)
def test_both_ways_to_mint_open_the_content(ask: Client, path: str, body: dict[str, str]) -> None:
    minted = ask("POST", path, json=body)
    content = ask("GET", f"{CONTENT}/{minted.json()['id']}/content")

    assert minted.status_code == 200
    assert set(minted.json()) == {"id"}
    assert (content.status_code, content.content) == (200, PICTURE.content)
    assert content.headers["Content-Type"] == "image/jpeg"
    assert content.headers["Content-Length"] == str(len(PICTURE.content or b""))


def test_a_gateway_may_mint_with_201() -> None:
    with Gateway(tokens=TOKENS, mint_status=201) as gateway:
        gateway.add_attachment(PICTURE)
        answer = Client(gateway)("POST", f"{MESSAGING}/messaging/attachments/{PICTURE.id}/access_tokens", json={})

        assert answer.status_code == 201


def test_a_content_token_expires(ask: Client, clock: Clock) -> None:
    token = ask.mint(PICTURE.id)
    clock.time += timedelta(seconds=61)

    assert error(ask("GET", f"{CONTENT}/{token}/content")) == (404, "SCG_ERROR_4046")
    assert ask.fetch(PICTURE.id).status_code == 200


def test_a_content_token_needs_no_other_token_but_not_a_wrong_one(gateway: Gateway, ask: Client) -> None:
    path = f"{CONTENT}/{ask.mint(PICTURE.id)}/content"

    assert Client(gateway, None)("GET", path).status_code == 200
    assert error(Client(gateway, "wrong")("GET", path)) == (401, "SCG_ERROR_4010")
    assert error(Client(gateway, "token-b")("GET", path)) == (401, "SCG_ERROR_4010")


@pytest.mark.parametrize("token", [None, "wrong", "token-b"])
def test_only_the_own_application_is_served(gateway: Gateway, token: str | None) -> None:
    client = Client(gateway, token)
    body = {"resource": "ATTACHMENT", "resource_id": PICTURE.id}

    assert error(client("POST", f"{MESSAGING}/access_tokens", json=body)) == (401, "SCG_ERROR_4010")
    assert error(client("GET", f"{MESSAGING}/messaging/attachments/{PICTURE.id}")) == (401, "SCG_ERROR_4010")


def test_basic_credentials_are_no_bearer_token(gateway: Gateway) -> None:
    answer = Client(gateway, None)("GET", f"{MESSAGING}/messaging/messages", auth=("token-a", "x"))

    assert error(answer) == (401, "SCG_ERROR_4010")


def test_unknown_things_are_not_found(ask: Client) -> None:
    nothing = {"resource": "ATTACHMENT", "resource_id": "nothing"}

    assert error(ask("POST", f"{MESSAGING}/access_tokens", json=nothing)) == (404, "SCG_ERROR_4040")
    assert error(ask("GET", f"{MESSAGING}/messaging/attachments/nothing")) == (404, "SCG_ERROR_4040")
    assert error(ask("GET", f"{MESSAGING}/messaging/messages/nothing")) == (404, "SCG_ERROR_4040")
    assert error(ask("GET", "/nowhere")) == (404, "SCG_ERROR_4040")
    assert ask("PATCH", f"{MESSAGING}/messaging/attachments/{PICTURE.id}", json={}).status_code == 405


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"resource": "MESSAGE"}', b'{"resource": "ATTACHMENT"}'])
def test_a_bad_token_request_is_told_so(ask: Client, body: bytes) -> None:
    assert error(ask("POST", f"{MESSAGING}/access_tokens", data=body)) == (400, "SCG_ERROR_4001")


# what the official SDKs send


def test_the_python_sdk_creates_uploads_reads_renames_and_deletes(ask: Client) -> None:
    """Its statuses are 200 and 204 only; it names types in capitals, and goes on with the version it read first."""
    json_type = {"Content-Type": "Application/json", "Accept": "*/*"}
    octets = {"Content-Type": "Application/octet-stream", "Accept": "*/*"}
    wanted = json.dumps({"name": "test_upload", "type": "image/jpeg", "filename": "cutecat.jpg"})

    created = ask("POST", f"{MESSAGING}/messaging/attachments", data=wanted, headers=json_type)
    path = f"{MESSAGING}/messaging/attachments/{created.json()['id']}"
    before = ask("GET", path).json()
    minted = ask("POST", f"{path}/access_tokens", data="{}", headers=json_type)
    content_path = f"{CONTENT}/{minted.json()['id']}/content"
    too_early = ask("GET", content_path)
    uploaded = ask("POST", content_path, data=b"Test data", headers=octets)
    after = ask("GET", path).json()
    renamed = ask(
        "POST", path, data=json.dumps({"name": "new", "version_number": before["version_number"]}), headers=json_type
    )
    content = ask("GET", content_path, headers={"Accept": "Application/octet-stream"}, stream=True)
    deleted = ask("DELETE", path)

    assert (created.status_code, minted.status_code) == (200, 200)
    assert (before["state"], before["size"]) == ("CREATED", 0)
    assert error(too_early) == (400, "SCG_ERROR_40030")
    assert {uploaded.status_code, renamed.status_code, deleted.status_code} == {204}
    assert (after["state"], after["size"], after["type"]) == ("UPLOADED", 9, "image/jpeg")
    assert b"".join(content.iter_content(1024)) == b"Test data"
    assert ask("GET", path).status_code == 404


def test_the_python_sdk_uploads_an_empty_file_in_chunks(ask: Client, gateway: Gateway) -> None:
    gateway.add_attachment(Attachment("empty", application_id="17226"))
    ask("POST", f"{CONTENT}/{ask.mint('empty')}/content", data=iter([b"in ", b"pieces"]))

    assert ask.fetch("empty").content == b"in pieces"


def test_the_node_sdk_uploads_a_form(ask: Client, gateway: Gateway) -> None:
    """One part named file-upload, whose Content-Length counts characters, not bytes."""
    gateway.add_attachment(Attachment("form", type="", application_id="17226"))
    edge = "--------------------------402834982348923"
    body = (
        f'--{edge}\r\nContent-Disposition: form-data; name="file-upload"; filename="a.png"; size="3"\r\n'
        f"Content-Type: image/png\r\nContent-Length: 3\r\n\r\n".encode()
        + "äöü\r\n--not the edge\r\n".encode()
        + f"\r\n--{edge}--\r\n".encode()
    )
    sent = ask(
        "POST",
        f"{CONTENT}/{ask.mint('form')}/content",
        data=body,
        headers={"Content-Type": f"multipart/form-data; boundary={edge}"},
    )
    content = ask.fetch("form")

    assert sent.status_code == 204
    assert content.content == "äöü\r\n--not the edge\r\n".encode()
    assert content.headers["Content-Type"] == "image/png"


def test_the_node_sdk_lists_as_many_as_the_total_says(ask: Client) -> None:
    answer = ask("GET", f"{MESSAGING}/messaging/attachments", headers={"Accept": "application/json"}).json()

    assert answer["total"] == len(answer["list"]) == 1
    assert answer["list"][0]["id"] == PICTURE.id
    assert answer["limit"] == 100


def test_the_node_sdk_sends_back_all_that_it_read(ask: Client, gateway: Gateway) -> None:
    path = f"{MESSAGING}/messaging/attachments/{PICTURE.id}"
    row = ask("GET", path).json()
    back = {name: row[name] for name in row if name not in ("id", "application_id", "created_date")}
    changed = ask("POST", path, json=back | {"name": "other", "size": 5, "state": "CREATED"})
    stale = ask("POST", path, json=back)
    after = ask("GET", path).json()

    assert changed.status_code == 204
    assert error(stale) == (409, "SCG_ERROR_4090")
    assert (after["name"], after["size"], after["state"]) == ("other", row["size"], "UPLOADED")
    assert after["version_number"] == row["version_number"] + 1


def test_the_ruby_sdk_mints_without_a_body_and_wants_no_answer_to_an_upload(ask: Client, gateway: Gateway) -> None:
    gateway.add_attachment(Attachment("bare", application_id="17226"))
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    minted = ask("POST", f"{MESSAGING}/messaging/attachments/bare/access_tokens", headers=headers)
    uploaded = ask(
        "POST",
        f"{CONTENT}/{minted.json()['id']}/content",
        data=b"test data",
        headers=headers | {"Content-Type": "application/octet-stream"},
    )

    assert (uploaded.status_code, uploaded.content) == (204, b"")
    assert ask.fetch("bare").content == b"test data"


def test_the_ruby_sdk_pages_until_a_page_is_empty(ask: Client, gateway: Gateway) -> None:
    for number in range(250):
        gateway.add_message(Message(f"m{number:03d}", application_id="17226"))
    seen: list[str] = []
    while rows := ask("GET", f"{MESSAGING}/messaging/messages", params={"offset": len(seen)}).json()["list"]:
        seen += [row["id"] for row in rows]

    assert len(seen) == len(set(seen)) == 250


def test_what_the_sandbox_does_not_have_is_an_empty_list(ask: Client) -> None:
    answer = ask("GET", f"{MESSAGING}/messaging/sender_ids", params={"limit": 5}).json()

    assert answer == {"list": [], "total": 0, "offset": 0, "limit": 5}


def test_content_can_be_put_too(ask: Client, gateway: Gateway) -> None:
    ask("PUT", f"{CONTENT}/{ask.mint(PICTURE.id)}/content", data=b"newer")

    assert ask.fetch(PICTURE.id).content == b"newer"


# the inbox


def inbox(gateway: Gateway) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for number in range(6):
        gateway.add_message(
            Message(
                f"m{number}",
                attachments=(PICTURE.id, "gone") if number == 0 else (),
                direction="MT" if number == 5 else "MO",
                type="MMS" if number % 2 == 0 else "SMS",
                application_id="20881" if number == 4 else "17226",
                created_at=noon + timedelta(hours=number),
            )
        )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "m0 m1 m2 m3 m5"),
        ({"direction": "MO"}, "m0 m1 m2 m3"),
        ({"direction": "MO", "type": "MMS"}, "m0 m2"),
        ({"application_id": "17226", "state": "RECEIVED", "offset": "2", "limit": "2"}, "m2 m3"),
        ({"created_date": "[2026-01-01T13:00:00.000Z,2026-01-01T15:00:00.000Z]"}, "m1 m2 m3"),
        ({"created_date": "[2026-01-01T14:30:00Z,]"}, "m3 m5"),
        ({"created_date": "2026-01-01T13:00:00.000Z"}, "m1"),
        ({"to_address": "nobody"}, ""),
        ({"no_such_field": "x"}, "m0 m1 m2 m3 m5"),
        ({"offset": "99"}, ""),
    ],
)
def test_messages_are_filtered_and_paged(gateway: Gateway, ask: Client, query: dict[str, str], expected: str) -> None:
    inbox(gateway)
    answer = ask("GET", f"{MESSAGING}/messaging/messages", params=query).json()

    assert " ".join(row["id"] for row in answer["list"]) == expected
    assert answer["offset"] == int(query.get("offset", 0))


@pytest.mark.parametrize("query", [{"offset": "x"}, {"limit": "-1"}, {"created_date": "[yesterday,]"}])
def test_a_bad_query_is_told_so(gateway: Gateway, ask: Client, query: dict[str, str]) -> None:
    inbox(gateway)

    assert error(ask("GET", f"{MESSAGING}/messaging/messages", params=query)) == (400, "SCG_ERROR_4001")


def test_a_server_may_tell_no_total_and_ignore_filters() -> None:
    rules = ListRules(page_limit=2, totals=False, ignored_filters=frozenset({"direction"}))
    with Gateway(tokens=TOKENS, rules=rules) as gateway:
        inbox(gateway)
        query = {"direction": "MT", "limit": "50"}
        answer = Client(gateway)("GET", f"{MESSAGING}/messaging/messages", params=query).json()

        assert set(answer) == {"list"}
        assert [row["id"] for row in answer["list"]] == ["m0", "m1"]


def test_a_message_shows_its_fields_and_its_attachments(gateway: Gateway, ask: Client) -> None:
    inbox(gateway)
    row = ask("GET", f"{MESSAGING}/messaging/messages/m0").json()
    files = ask("GET", f"{MESSAGING}/messaging/messages/m0/attachments").json()

    assert row["attachments"] == [PICTURE.id, "gone"]
    assert row["application_id"] == 17226
    assert "attachments" not in ask("GET", f"{MESSAGING}/messaging/messages/m1").json()
    assert [(file["id"], file["type"]) for file in files["list"]] == [(PICTURE.id, "image/jpeg")]
    assert files["total"] == 1


def test_a_message_is_marked_as_processed(gateway: Gateway, ask: Client) -> None:
    inbox(gateway)
    path = f"{MESSAGING}/messaging/messages/m0"
    marked = ask("POST", path, json={"state": "PROCESSED"})
    left = ask("GET", f"{MESSAGING}/messaging/messages", params={"state": "RECEIVED"}).json()

    assert marked.status_code == 204
    assert ask("GET", path).json()["state"] == "PROCESSED"
    assert left["total"] == 4
    assert error(ask("POST", path, json={"state": "EATEN"})) == (400, "SCG_ERROR_4001")
    assert error(Client(gateway, "token-b")("POST", path, json={"state": "PROCESSED"})) == (401, "SCG_ERROR_4010")


# the application token


@pytest.mark.parametrize("prefix", ["/saop-rest-data/v1/", "/scg-external-api/api/v1"])
def test_a_refreshed_token_takes_the_place_of_the_old(gateway: Gateway, ask: Client, prefix: str) -> None:
    query = {"consumerkey": "sandbox-key", "consumersecret": "sandbox-secret", "oldtoken": "token-a"}
    answer = ask("GET", f"{prefix}apptoken-refresh", params=query)
    new = answer.json()["accessToken"]

    assert answer.status_code == 200
    assert error(ask("GET", f"{MESSAGING}/messaging/messages")) == (401, "SCG_ERROR_4010")
    assert Client(gateway, new).fetch(PICTURE.id).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"consumersecret": "x"}, 401), ({"oldtoken": "x"}, 401), ({"consumerkey": ""}, 400)],
)
def test_a_refused_refresh_is_worded_by_the_layer_before(ask: Client, changes: dict[str, str], status: int) -> None:
    query = {"consumerkey": "sandbox-key", "consumersecret": "sandbox-secret", "oldtoken": "token-a"}
    answer = ask("GET", "/saop-rest-data/v1/apptoken-refresh", params=query | changes)

    assert answer.status_code == status
    assert set(answer.json()) == {"errorCode", "moreInfo", "userMsg"}
    assert ask.fetch(PICTURE.id).status_code == 200


def test_an_expired_token_opens_nothing_until_it_is_refreshed(gateway: Gateway, ask: Client) -> None:
    query = {"consumerkey": "sandbox-key", "consumersecret": "sandbox-secret", "oldtoken": "token-a"}
    expired = ask("POST", "/_sandbox/expire")
    refused = ask("GET", f"{MESSAGING}/messaging/messages")
    new = ask("GET", "/saop-rest-data/v1/apptoken-refresh", params=query).json()["accessToken"]

    assert expired.status_code == 204
    assert error(refused) == (401, "SCG_ERROR_4010")
    assert Client(gateway, new).fetch(PICTURE.id).status_code == 200
    assert error(Client(gateway, "token-b")("GET", f"{MESSAGING}/messaging/messages")) == (401, "SCG_ERROR_4010")
    assert ask("GET", "/saop-rest-data/v1/apptoken-refresh", params=query).status_code == 401


# for those who test


def test_faults_can_be_ordered_over_http(gateway: Gateway, ask: Client) -> None:
    order = {"fault": "unavailable", "target": PICTURE.id, "step": "mint", "times": 2, "retry_after": "7"}
    ordered = ask("POST", "/_sandbox/faults", json=order)
    waiting = ask("GET", "/_sandbox/faults").json()
    path = f"{MESSAGING}/messaging/attachments/{PICTURE.id}/access_tokens"
    answers = [ask("POST", path, json={}) for _ in range(3)]

    assert ordered.status_code == 204
    assert waiting["waiting"] == {PICTURE.id: [{"fault": "unavailable", "step": "mint", "times": 2}]}
    assert "short" in waiting["known"]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    "order",
    [
        {"fault": "no such"},
        {"fault": "short", "step": "nap"},
        {"fault": "short", "times": "2"},
        {"fault": "short", "times": 0},
        {},
        5,
    ],
)
def test_a_fault_that_cannot_be_is_refused(ask: Client, order: object) -> None:
    answer = ask("POST", "/_sandbox/faults", json=order)

    assert answer.status_code == 400
    assert answer.json()["error"]


def test_faults_can_be_cleared(gateway: Gateway, ask: Client) -> None:
    gateway.add_fault(PICTURE.id, named("forbidden", times=None))
    gateway.add_fault("*", named("throttled", times=None))
    ask("DELETE", "/_sandbox/faults", params={"target": PICTURE.id})

    assert list(gateway.faults.waiting()) == ["*"]

    ask("DELETE", "/_sandbox/faults")

    assert ask.fetch(PICTURE.id).status_code == 200


def test_attachments_and_messages_can_be_put_in_over_http(ask: Client) -> None:
    put = {"id": "put", "content": base64.b64encode(b"bytes").decode(), "type": "image/gif", "application_id": 17226}
    ask("POST", "/_sandbox/attachments", json=[put, {"id": "unready"}])
    row = {"id": "m", "attachments": ["put"], "created_date": "2026-02-03T04:05:06.000Z", "application_id": 17226}
    ask("POST", "/_sandbox/messages", json=row)

    assert ask.fetch("put").content == b"bytes"
    assert error(ask.fetch("unready")) == (400, "SCG_ERROR_40030")
    assert ask("GET", f"{MESSAGING}/messaging/messages/m").json()["created_date"] == row["created_date"]
    assert ask("POST", "/_sandbox/attachments", json={"id": "x", "content": "?"}).status_code == 400
    assert ask("POST", "/_sandbox/messages", json={"id": "x", "created_date": "2026-02-03T04:05:06"}).status_code == 400


def test_the_log_counts_requests_by_step_and_attachment(gateway: Gateway, ask: Client) -> None:
    ask.fetch(PICTURE.id)
    ask.fetch(PICTURE.id)
    log = ask("GET", "/_sandbox/log", params={"entries": "1", "step": "content"}).json()

    assert log["by_attachment"] == {PICTURE.id: {"mint": 2, "content": 2}}
    assert log["by_status"] == {"200": 4}
    assert [entry["step"] for entry in log["entries"]] == ["content", "content"]
    assert gateway.requests.count(step="mint", attachment_id=PICTURE.id) == 2
    assert all(entry.bearer for entry in gateway.requests)


def test_the_sandbox_calls_need_a_token_and_health_does_not(gateway: Gateway) -> None:
    stranger = Client(gateway, None)

    assert stranger("GET", "/healthz").json() == {"status": "ok"}
    assert stranger("GET", "/_sandbox/log").status_code == 401


def test_a_request_can_be_waited_for(gateway: Gateway, ask: Client) -> None:
    asking = threading.Thread(target=ask.fetch, args=(PICTURE.id,))
    asking.start()
    came = gateway.requests.wait_for(1, step="content", timeout_s=10)
    asking.join()

    assert came
    assert not gateway.requests.wait_for(2, step="content", timeout_s=0.01)


# the server


def test_sixty_four_clients_are_served_at_once(gateway: Gateway) -> None:
    """All hold their connection while the last one arrives: none waits for another to finish."""
    gateway.latency_s = 0.05
    meeting = threading.Barrier(64, timeout=30)

    def fetch(_: int) -> bytes:
        client = Client(gateway)
        meeting.wait()
        return client.fetch(PICTURE.id).content

    with ThreadPoolExecutor(64) as pool:
        contents = list(pool.map(fetch, range(64)))

    assert contents == [PICTURE.content] * 64


def test_connections_are_kept_alive(ask: Client) -> None:
    connection = http.client.HTTPConnection(ask.host, timeout=10)
    ports = set()
    for _ in range(3):
        connection.request("GET", "/healthz")
        ports.add(connection.sock.getsockname()[1])
        connection.getresponse().read()

    assert len(ports) == 1


def test_a_connection_is_closed_when_the_client_asks_for_it(ask: Client) -> None:
    answer = ask("GET", "/healthz", headers={"Connection": "close"})

    assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize("request_bytes", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"])
def test_what_is_no_request_is_told_so(ask: Client, request_bytes: bytes) -> None:
    host, _, port = ask.host.partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(request_bytes)
        answer = line.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 400 ")


def test_stop_ends_waits_and_open_connections() -> None:
    before = set(threading.enumerate())
    gateway = Gateway(tokens=TOKENS, latency_s=600).start()
    gateway.add_attachment(PICTURE)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(Client(gateway).mint, PICTURE.id)
        gateway.requests.wait_for(1, timeout_s=10)
        gateway.stop()
        answered = asking.exception(timeout=10) is None or isinstance(asking.exception(), requests.ConnectionError)

    assert answered
    assert set(threading.enumerate()) <= before


def test_a_whole_scenario_is_served(gateway: Gateway) -> None:
    scenario = demo_scenario()
    gateway.load(scenario)
    gateway.faults.clear()
    client = Client(gateway, "token-any")
    fetched = {row.id: client.fetch(row.id).content for row in scenario.attachments}

    assert fetched == {row.id: row.content for row in scenario.attachments}
    assert set(scenario.fates) - set(fetched) == {key for key, fate in scenario.fates.items() if fate == "missing"}


@pytest.mark.parametrize("listen", ["nowhere", "127.0.0.1:x", "127.0.0.1:99999"])
def test_a_bad_address_is_told_so(listen: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        Gateway(listen)
