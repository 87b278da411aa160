"""A GitHub on loopback for tests: npm `emulate` behind a layer that adds what it lacks and fails on demand.

    with hub.started() as server:
        repo = server.repository({"flags.yaml": "..."})
        repo.environment            # GITHUB_TOKEN, GITHUB_REPOSITORY, GITHUB_API_URL for the command under test
        repo.pulls(), repo.merge(1), repo.read("flags.yaml")

The deviations of emulate from github.com stand in tests/github/README.md.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from urllib.parse import quote, urlsplit

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "github"
OWNER = "octo"
BOT, HUMAN = "ghs_0123456789abcdefBOT", "ghp_0123456789abcdefHUMAN"
_LOGINS = {BOT: "kimiprobe-bot", HUMAN: OWNER}

needs_npm = pytest.mark.skipif(
    not (FOLDER / "node_modules" / "emulate").is_dir() and not os.environ.get("CI"),
    reason="npm packages of tests/github are not installed",
)


@dataclass
class Fault:
    """What the layer answers instead of passing the request on; `after` acts first and then cuts the connection."""

    method: str
    path: re.Pattern[str]
    status: int = 0
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    after: bool = False


@dataclass
class Hub:
    """The running server. `requests` are those of the command under test, as `METHOD /path`."""

    url: str
    emulator_port: int
    requests: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    cut_at: int = 0
    """Cut every connection from the so many-th request of the bot on: a crash at that point. 0 is never."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    _made: int = 0

    def repository(self, files: Mapping[str, str], *, branch: str = "main") -> "Repository":
        """A new repository of `octo` with these files on its default branch."""
        self._made += 1
        name = f"kimi-{self._made}"
        self.human("POST", "/user/repos", {"name": name, "auto_init": True, "private": False})
        repo = Repository(self, f"{OWNER}/{name}", branch)
        if branch != "main":
            head = self.human("GET", f"{repo.path}/git/ref/heads/main")["object"]["sha"]
            repo.human("POST", "git/refs", {"ref": f"refs/heads/{branch}", "sha": head})
            repo.human("PATCH", "", {"default_branch": branch})
            repo.human("DELETE", "git/refs/heads/main")
        repo.human("PUT", f"collaborators/{_LOGINS[BOT]}", {"permission": "push"})
        for path, text in files.items():
            repo.commit(path, text)
        self.forget()
        return repo

    def fail(self, method: str, path: str, status: int = 0, message: str = "", **more: Any) -> None:
        """Answer the next request of that method whose path matches with this status and message."""
        body = {"message": message, "documentation_url": "https://docs.github.com/rest"} | more.pop("extra", {})
        self.faults.append(Fault(method, re.compile(path), status, body, **more))

    def forget(self) -> None:
        """Start counting requests anew, without faults."""
        with self.lock:
            self.requests.clear()
            self.faults.clear()
            self.cut_at = 0

    def human(self, method: str, path: str, body: Any = None) -> Any:
        """What a person does in the browser; never counted, never failed."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {HUMAN}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            text = response.read()
        return json.loads(text) if text else None


@dataclass
class Repository:
    """One repository, seen by the person who owns it."""

    hub: Hub
    name: str
    branch: str = "main"

    @property
    def path(self) -> str:
        return f"/repos/{self.name}"

    @property
    def environment(self) -> dict[str, str]:
        """What a workflow step sees."""
        return {"GITHUB_TOKEN": BOT, "GITHUB_REPOSITORY": self.name, "GITHUB_API_URL": self.hub.url}

    def human(self, method: str, path: str, body: Any = None) -> Any:
        return self.hub.human(method, f"{self.path}/{path}".rstrip("/"), body)

    def read(self, path: str, ref: str | None = None) -> str:
        """A file's text on a branch, the default one unless told otherwise."""
        row = self.human("GET", f"contents/{quote(path)}?ref={quote(ref or self.branch, safe='')}")
        return base64.b64decode(row["content"]).decode()

    def commit(self, path: str, text: str, *, branch: str | None = None) -> None:
        """A person's commit that writes one file."""
        branch = branch or self.branch
        body = {"message": "by hand", "content": base64.b64encode(text.encode()).decode(), "branch": branch}
        try:
            body["sha"] = self.human("GET", f"contents/{quote(path)}?ref={quote(branch, safe='')}")["sha"]
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
        self.human("PUT", f"contents/{quote(path)}", body)

    def head(self, branch: str) -> str:
        return cast("str", self.human("GET", f"git/ref/heads/{branch}")["object"]["sha"])

    def commits(self, branch: str) -> list[str]:
        """Messages of the branch, newest first."""
        return [row["commit"]["message"] for row in self.human("GET", f"commits?sha={quote(branch, safe='')}")]

    def pulls(self, state: str = "open") -> list[dict[str, Any]]:
        return cast("list[dict[str, Any]]", self.human("GET", f"pulls?state={state}&direction=asc"))

    def merge(self, number: int) -> None:
        """The person merges the pull request, squashed: what its head commit changed, on top of the base as it is now."""
        pull = self.human("GET", f"pulls/{number}")
        base, head = self.head(pull["base"]["ref"]), self.head(pull["head"]["ref"])
        (parent,) = self.human("GET", f"git/commits/{head}")["parents"]
        entries = []
        for path, sha in self._blobs(head).items():
            if sha != self._blobs(parent["sha"]).get(path):
                assert self._blobs(base).get(path) in {sha, self._blobs(parent["sha"]).get(path)}, f"conflict in {path}"
                entries.append({"path": path, "mode": "100644", "type": "blob", "sha": sha})
        tree = self.human("POST", "git/trees", {"base_tree": self._tree(base), "tree": entries})["sha"]
        made = {"message": f"{pull['title']} (#{number})", "tree": tree, "parents": [base]}
        commit = self.human("POST", "git/commits", made)["sha"]
        self.human("PUT", f"pulls/{number}/merge", {})
        self.human("PATCH", f"git/refs/heads/{pull['base']['ref']}", {"sha": commit, "force": True})

    def _tree(self, commit: str) -> str:
        return cast("str", self.human("GET", f"git/commits/{commit}")["tree"]["sha"])

    def _blobs(self, commit: str) -> dict[str, str]:
        rows = self.human("GET", f"git/trees/{self._tree(commit)}?recursive=1")["tree"]
        return {row["path"]: row["sha"] for row in rows if row["type"] == "blob"}

    def close(self, number: int) -> None:
        """The person closes it, unmerged: a no."""
        self.human("PATCH", f"pulls/{number}", {"state": "closed"})

    def issues(self, state: str = "open") -> list[dict[str, Any]]:
        rows = self.human("GET", f"issues?state={state}&direction=asc")
        return [row for row in rows if "pull_request" not in row]

    def comments(self, number: int) -> list[str]:
        return [row["body"] for row in self.human("GET", f"issues/{number}/comments")]


@contextmanager
def started() -> Iterator[Hub]:
    """Start emulate and the layer on loopback; both end with the block."""
    entry = FOLDER / "node_modules" / "emulate" / "dist" / "index.js"
    node = shutil.which("node")
    if node is None or not entry.is_file():
        pytest.fail("run `npm ci --prefix tests/github` first; it needs node 20 or newer")
    layer = ThreadingHTTPServer(("127.0.0.1", 0), _Layer)
    layer.daemon_threads = True
    url = f"http://127.0.0.1:{layer.server_port}"
    with TemporaryDirectory() as folder:
        seed = Path(folder) / "seed.json"
        seed.write_text(json.dumps(_seed()))
        command = [node, "--require", str(FOLDER / "loopback.cjs"), str(entry), "start", "--service", "github"]
        command += ["--seed", str(seed), "--base-url", url]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
            serving = threading.Thread(target=layer.serve_forever, args=(0.05,), daemon=True)
            try:
                hub = Hub(url, _port(process))
                layer.hub = hub  # type: ignore[attr-defined]
                with _drained(process), _running(layer, serving):
                    yield hub
            finally:
                layer.server_close()
                process.terminate()


@contextmanager
def _running(layer: ThreadingHTTPServer, serving: threading.Thread) -> Iterator[None]:
    serving.start()
    try:
        yield
    finally:
        layer.shutdown()
        serving.join()


@contextmanager
def _drained(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Reads what the emulator writes, because a full pipe would stop it.

    The thread is joined before the pipe is closed. Otherwise it may fail later, in whatever test runs then.
    """
    assert process.stdout is not None
    reading = threading.Thread(target=process.stdout.read, daemon=True)
    reading.start()
    try:
        yield
    finally:
        process.terminate()
        reading.join()


def _seed() -> dict[str, Any]:
    return {
        "tokens": {token: {"login": login, "scopes": ["repo"]} for token, login in _LOGINS.items()},
        "github": {"users": [{"login": login, "name": login} for login in reversed(_LOGINS.values())]},
    }


def _port(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("listening "):
            return int(line.split()[1])
    pytest.fail("emulate did not start")


class _Layer(BaseHTTPRequestHandler):
    """Between the command under test and emulate."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: two would wait for a delayed acknowledgement, 40 ms each

    @property
    def hub(self) -> Hub:
        return cast("Hub", self.server.hub)  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        token = (self.headers.get("Authorization") or "").partition(" ")[2]
        if token not in _LOGINS:
            self._answer(401, {"message": "Bad credentials"})
            return
        if token == BOT and self._failed(path):
            return
        status, headers, data = self._pass_on(body) if self.command != "POST" else self._create(path, body)
        if token == BOT and self._take(path, after=True):
            self.close_connection = True
            return
        self._answer(status, data, headers)

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815 - the server looks for these names

    def _failed(self, path: str) -> bool:
        with self.hub.lock:
            self.hub.requests.append(f"{self.command} {path}")
            cut = self.hub.cut_at and len(self.hub.requests) >= self.hub.cut_at
        if cut:
            self.close_connection = True
            return True
        fault = self._take(path, after=False)
        if fault and fault.status:
            self._answer(fault.status, fault.body, fault.headers)
        elif fault:
            self.close_connection = True
        return fault is not None

    def _take(self, path: str, *, after: bool) -> Fault | None:
        with self.hub.lock:
            for fault in self.hub.faults:
                if fault.after == after and fault.method == self.command and fault.path.search(path) and fault.times:
                    fault.times -= 1
                    return fault
        return None

    def _create(self, path: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """A POST; github.com refuses some pull requests that emulate accepts."""
        if re.fullmatch(r"/repos/[^/]+/[^/]+/pulls", path) and (refusal := self._refusal(path, json.loads(body))):
            error = {"resource": "PullRequest", "code": "custom", "message": refusal}
            return 422, {}, json.dumps({"message": "Validation Failed", "errors": [error]}).encode()
        return self._pass_on(body)

    def _refusal(self, path: str, wanted: Mapping[str, Any]) -> str:
        repo = path.removesuffix("/pulls")
        head = wanted["head"].partition(":")[2] or wanted["head"]
        for pull in self.hub.human("GET", f"{repo}/pulls?state=open"):
            if pull["head"]["ref"] == head and pull["base"]["ref"] == wanted["base"]:
                return f"A pull request already exists for {OWNER}:{head}."
        shas = {}
        for branch in (head, wanted["base"]):
            try:
                shas[branch] = self.hub.human("GET", f"{repo}/git/ref/heads/{branch}")["object"]["sha"]
            except urllib.error.HTTPError:
                return f"branch {branch} is invalid"
        return f"No commits between {wanted['base']} and {head}" if len(set(shas.values())) == 1 else ""

    def _pass_on(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        connection = HTTPConnection("127.0.0.1", self.hub.emulator_port, timeout=10)
        try:
            skipped = {"connection", "accept-encoding", "content-length"}
            headers = {name: value for name, value in self.headers.items() if name.lower() not in skipped}
            connection.request(self.command, self.path, body or None, headers)
            response = connection.getresponse()
            data = response.read()
            kept = {name: value for name, value in response.getheaders() if name.lower() in {"link", "content-type"}}
            return response.status, kept, data.replace(b"/git/ref/heads/", b"/git/refs/heads/")
        finally:
            connection.close()

    def _answer(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the overridden method
        """Tests read `Hub.requests`."""
