"""An authorization server on a real socket: its keys (JWKS), its introspection, and tokens that it gives out."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

__all__ = ["AUDIENCE", "CLIENT", "ISSUER", "Authority", "serving"]

ISSUER, AUDIENCE = "https://login.example.com", "mo-sync"
CLIENT = ("mo-sync", "a secret: with % and +")


class Authority:
    """``status`` other than 200 makes it fail; ``delay_s`` makes it slow; ``asked`` is what it was asked, by path."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.delay_s = 0.0
        self.answer: bytes | None = None
        self.asked: list[str] = []
        self.active: dict[str, dict[str, Any]] = {}
        self._keys: dict[str, Any] = {}
        self.new_key("first")

    def new_key(self, kid: str, *, kind: str = "RS256") -> None:
        curve = ec.generate_private_key(ec.SECP256R1())
        self._keys[kid] = curve if kind == "ES256" else rsa.generate_private_key(65537, 2048)

    def forget(self, kid: str) -> None:
        del self._keys[kid]

    def public(self, kid: str) -> Any:
        return self._keys[kid].public_key()

    def keys(self) -> dict[str, Any]:
        return {"keys": [self._told(kid) for kid in self._keys]}

    def _told(self, kid: str) -> dict[str, Any]:
        elliptic = isinstance(self._keys[kid], ec.EllipticCurvePrivateKey)
        algorithm = jwt.get_algorithm_by_name("ES256" if elliptic else "RS256")
        return {**json.loads(algorithm.to_jwk(self.public(kid))), "kid": kid, "use": "sig"}

    def token(self, kid: str | None = "first", *, lasts_s: float = 300, key: Any = None, **claims: Any) -> str:
        now = time.time()
        said = {"iss": ISSUER, "aud": AUDIENCE, "exp": now + lasts_s, "iat": now, **claims}
        private = key or self._keys[kid or "first"]
        algorithm = "ES256" if isinstance(private, ec.EllipticCurvePrivateKey) else "RS256"
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, private, algorithm, headers={"kid": kid} if kid else None)

    def respond(self, path: str, body: bytes, authorization: str) -> tuple[int, bytes]:
        self.asked.append(path)
        time.sleep(self.delay_s)
        if self.status != 200:
            return self.status, b"no"
        if self.answer is not None:
            return 200, self.answer
        if path == "/keys":
            return 200, json.dumps(self.keys()).encode()
        if authorization != "Basic " + base64.b64encode(b"mo-sync:a+secret%3A+with+%25+and+%2B").decode():
            return 401, b"{}"
        [token] = parse_qs(body.decode())["token"]
        found = self.active.get(token)
        return 200, json.dumps({"active": found is not None, **(found or {})}).encode()


@contextmanager
def serving() -> Iterator[Authority]:
    authority = Authority()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._respond(b"")

        def do_POST(self) -> None:
            self._respond(self.rfile.read(int(self.headers["Content-Length"])))

        def _respond(self, body: bytes) -> None:
            status, told = authority.respond(self.path, body, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who asked has given up
                self.wfile.write(told)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    authority.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield authority
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
