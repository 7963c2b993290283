"""A web server on the loopback interface that speaks what the hub's client needs, serves plain files, and can fail."""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


@dataclass
class Fault:
    """What goes wrong with a file.

    ``kind`` is one of: ``"status"`` (answer with ``status``), ``"cut"`` (close halfway through the body, and do not
    answer attempts to resume), ``"reset"`` (the same, by a reset), ``"stall"`` (send nothing after half the body),
    ``"short"`` (hold only half of the announced file), ``"lie"`` (announce the whole file, hold and send half of it),
    ``"corrupt"`` (one byte differs), ``"drop"`` (close without an answer).
    """

    kind: str
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1_000_000
    methods: tuple[str, ...] = ("GET",)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None


class HubServer:
    """Use as a context manager.

    Attributes:
        url: ``http://127.0.0.1:port``.
        plain: Path -> bytes, for plain files.
        faults: End of the path -> what goes wrong there.
        log: The requests so far.
    """

    def __init__(self) -> None:
        self.plain: dict[str, bytes] = {}
        self.faults: dict[str, Fault] = {}
        self.log: list[Request] = []
        self._repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self._tokens: dict[str, str] = {}
        self._redirects: dict[str, HubServer] = {}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def add(self, repo: str, files: dict[str, bytes], revision: str = "main", token: str | None = None) -> str:
        """Add a repository's revision and return its commit; with a token, only its bearer may read."""
        commit = hashlib.sha1(f"{repo}@{revision}".encode() + b"".join(files.values())).hexdigest()
        revisions = self._repos.setdefault(repo, {})
        revisions[revision] = revisions[commit] = files
        if token:
            self._tokens[repo] = token
        return commit

    def redirect(self, filename: str, server: HubServer) -> None:
        """Let another server hold a file's bytes, as the hub does with large files."""
        self._redirects[filename] = server

    def count(self, method: str, filename: str) -> int:
        return sum(r.method == method and r.path.endswith(f"/{filename}") for r in self.log)

    def ranges(self, filename: str) -> list[str | None]:
        return [r.range for r in self.log if r.method == "GET" and r.path.endswith(f"/{filename}")]


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, path = self.hub, unquote(self.path)
        hub.log.append(Request(self.command, path, self.headers.get("Range")))
        fault = next((f for end, f in hub.faults.items() if path.endswith(end)), None)
        if fault and (self.command not in fault.methods or fault.times <= 0):
            fault = None
        if fault:
            fault.times -= 1
        if fault and fault.kind == "drop":
            self._hang_up()
        elif fault and fault.kind == "status":
            self._send(fault.status, fault.headers, b"")
        elif path in hub.plain:
            self._body(hub.plain[path], {}, fault)
        else:
            self._resolve(path, fault)

    def _resolve(self, path: str, fault: Fault | None) -> None:
        hub = self.hub
        owner, name, _, rest = (path.lstrip("/") + "///").split("/", 3)
        revision, filename = (rest.rstrip("/") + "/").split("/", 1)
        repo, filename = f"{owner}/{name}", filename.rstrip("/")
        if repo not in hub._repos:
            return self._send(401, {"X-Error-Code": "RepoNotFound"}, b"")
        if repo in hub._tokens and self.headers.get("Authorization") != f"Bearer {hub._tokens[repo]}":
            return self._send(401, {"X-Error-Code": "GatedRepo"}, b"")
        files = hub._repos[repo].get(revision)
        if files is None:
            return self._send(404, {"X-Error-Code": "RevisionNotFound"}, b"")
        commit = next(key for key, value in hub._repos[repo].items() if value is files and len(key) == 40)
        if filename not in files:
            return self._send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b"")
        content = files[filename]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
        if filename in hub._redirects:
            other = hub._redirects[filename]
            other.plain[f"/store/{filename}"] = content
            headers |= {
                "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
                "X-Linked-Size": str(len(content)),
                "Location": f"{other.url}/store/{filename}",
            }
            return self._send(302, headers, b"")
        return self._body(content, headers, fault)

    def _body(self, content: bytes, headers: dict[str, str], fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        announced = len(content)
        if kind in ("short", "lie"):
            content = content[: len(content) // 2]
        if kind == "corrupt":
            content = bytes([content[0] ^ 1]) + content[1:]
        start = 0
        if asked := self.headers.get("Range"):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if kind in ("cut", "reset"):
                return self._hang_up(reset=kind == "reset")
            if start >= len(content):
                return self._send(416, {"Content-Range": f"bytes */{len(content)}"}, b"")
            headers = {**headers, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        body = content[start:]
        if kind in ("cut", "reset", "stall"):
            self._send(200, headers, body[: len(body) // 2], length=len(body))
            if kind == "stall":
                time.sleep(2)
            return self._hang_up(reset=kind == "reset")
        if kind == "lie":
            self._send(206 if start else 200, headers, body, length=announced - start)
            return self._hang_up()
        return self._send(206 if start else 200, {"Accept-Ranges": "bytes", **headers}, body)

    def _send(self, status: int, headers: dict[str, str], body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
            self.wfile.flush()

    def _hang_up(self, reset: bool = False) -> None:
        self.close_connection = True
        if reset:
            time.sleep(0.1)  # let the client read what was sent: a reset throws away what it has not
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
