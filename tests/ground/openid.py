"""A small OpenID provider: real HTTP, the code flow with PKCE, signed tokens."""

import base64
import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

CLIENT, SECRET = "n2wbackup-client", "of-the-provider-7"


@dataclass
class Provider:
    """`claims`: what it says of whoever comes next. `more`: what its page about them says besides.

    `asked_at`: when it last asked the person who they are. It does so again when it is told to, unless it `takes_old`
    logins; and says when, if `max_age` is sent and it does not keep that (`is_silent`).
    """

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    says_issuer: str = ""  # in tokens, in place of its own
    refuses: bool = False
    is_broken: bool = False
    takes_old: bool = False
    is_silent: bool = False
    asked_at: float = 0
    asked: list[dict[str, str]] = field(default_factory=list)  # each request to log in
    codes: dict[str, tuple[dict[str, str], dict[str, Any]]] = field(default_factory=dict)
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }

    def authorize(self, asked: dict[str, str]) -> str:
        """Return where the browser is sent: back, with a code that stands for who has just logged in."""
        self.asked.append(asked)
        back = {"state": asked["state"]}
        if self.refuses:
            back["error"] = "access_denied"
        else:
            back["code"] = f"code-{len(self.asked)}"
            if asked.get("prompt") == "login" and not self.takes_old:
                self.asked_at = time.time()
            claims = dict(self.claims)
            if "max_age" in asked and not self.is_silent:
                claims["auth_time"] = int(self.asked_at)
            self.codes[back["code"]] = (asked, claims)
        return f"{asked['redirect_uri']}?{urlencode(back)}"

    def token(self, sent: dict[str, str]) -> dict[str, Any] | None:
        """Exchange a code, once, for whoever has the secret and began the way."""
        asked, claims = self.codes.pop(sent.get("code", ""), ({}, {}))
        digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        is_right = (
            (sent.get("client_id"), sent.get("client_secret")) == (CLIENT, SECRET)
            and asked.get("code_challenge") == challenge
            and asked.get("redirect_uri") == sent.get("redirect_uri")
        )
        if not is_right:
            return None
        now = int(time.time())
        said = {"iss": self.says_issuer or self.issuer, "aud": CLIENT, "iat": now, "exp": now + 60}
        token = jwt.encode(said | claims, self.key, algorithm="ES256", headers={"kid": "one"})
        return {"access_token": json.dumps(claims), "token_type": "Bearer", "id_token": token}


@contextlib.contextmanager
def running() -> Iterator[Provider]:
    """Run the provider on a port of loopback until the block ends."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            where = urlsplit(self.path)
            if where.path == "/authorize":
                self.send_response(302)
                self.send_header("Location", provider.authorize(dict(parse_qsl(where.query))))
                self.end_headers()
            elif where.path == "/userinfo":
                shown = json.loads(self.headers["Authorization"].removeprefix("Bearer "))
                self._say(shown | provider.more)
            elif where.path == "/.well-known/openid-configuration" and not provider.is_broken:
                self._say(provider.configuration())
            else:
                self.send_error(503)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            answer = provider.token(dict(parse_qsl(self.rfile.read(length).decode())))
            self._say(answer or {"error": "invalid_grant"}, 200 if answer else 400)

        def _say(self, answer: dict[str, Any], status: int = 200) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing into the output of the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
