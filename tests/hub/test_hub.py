from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import mf_core
from mf_core.errors import ArgumentError, DownloadError, FileMissingError, IntegrityError, NotInstalledError
from mf_core.hub import cache, cache_dir, open_source
from mf_core.hub.size_limit import SizeLimit
from mf_core.hub.source import TEXT_LIMIT

from ..support.hub_server import Fault, HubServer

SRC = Path(mf_core.__file__).parents[1]
REPO = "hub:owner/tiny"
CONFIG = b'{"model_type": "gpt2"}'
WEIGHTS = bytes(range(256)) * 1024
SHA = hashlib.sha256(WEIGHTS).hexdigest()
NAME = "model.safetensors"

# The hub's client reads its environment when it is imported, so each call is a separate process; it waits up to
# 23 s between attempts, and no setting of it shortens that.
CLIENT = """
import json, sys, time
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.01))
from mf_core.errors import MFError
from mf_core.hub import open_source
location, filename, required, options = json.loads(sys.argv[1])
try:
    path = open_source(location, **options).path(filename, required=required)
    print(json.dumps({"path": path and str(path)}))
except MFError as error:
    cause = type(error.__cause__).__name__
    print(json.dumps({"error": type(error).__name__, "text": str(error), "cause": cause}))
"""


@dataclass
class Client:
    """Calls ``open_source(location).path(filename)`` in a process with its own caches."""

    root: Path
    endpoint: str
    env: dict[str, str] = field(default_factory=dict)

    def __call__(self, location: str, filename: str, required: bool = True, env: Any = (), **options: Any) -> Any:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "PYTHONPATH": str(SRC),
            "HF_HOME": str(self.root / "hf"),
            "HF_ENDPOINT": self.endpoint,
            "HF_HUB_DISABLE_XET": "1",
            "MF_CACHE": str(self.root / "mf"),
            "NO_PROXY": "127.0.0.1",
            **dict(env),
        }
        call = json.dumps([location, filename, required, options])
        done = subprocess.run(
            [sys.executable, "-c", CLIENT, call], env=environment, capture_output=True, text=True, timeout=50
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def leftovers(self) -> list[str]:
        """Return the files in the caches whose content could be taken for a model's file."""
        files = [p for p in self.root.rglob("*") if p.is_file() or p.is_symlink()]
        where = {"blobs", "snapshots", "files"}
        return [str(p) for p in files if where & set(p.parts) and p.suffix not in (".incomplete", ".part")]


@pytest.fixture
def server():
    with HubServer() as server:
        server.add("owner/tiny", {"config.json": CONFIG, NAME: WEIGHTS, "sub/a b.txt": b"nested"})
        server.plain[f"/models/tiny/{NAME}"] = WEIGHTS
        yield server


@pytest.fixture
def client(server, tmp_path):
    return Client(tmp_path, server.url)


def read(result: dict[str, Any]) -> bytes:
    assert "path" in result, result
    return Path(result["path"]).read_bytes()


def check_error(result: dict[str, Any], kind: str, *words: str) -> None:
    """An error has the kind, names the words, says what to do, and is chained to what it came from."""
    assert result.get("error") == kind, result
    for word in (*words, "try:"):
        assert word in result["text"], result["text"]


# Repositories on the hub -------------------------------------------------------------------------------------------


def test_hub_file_is_fetched_once(client, server):
    assert read(client(REPO, NAME, sha256={NAME: SHA})) == WEIGHTS
    assert server.count("GET", NAME) == 1
    assert read(client(REPO, NAME, sha256={NAME: SHA})) == WEIGHTS
    assert read(client(REPO, NAME, env={"HF_HUB_OFFLINE": "1"})) == WEIGHTS
    assert server.count("GET", NAME) == 1
    assert server.count("HEAD", NAME) == 3  # one for its size


def test_hub_file_in_a_folder(client):
    assert read(client(REPO, "sub/a b.txt")) == b"nested"


def test_hub_file_that_another_server_stores(client, server):
    with HubServer() as store:
        server.redirect(NAME, store)
        assert read(client(REPO, NAME, sha256={NAME: SHA})) == WEIGHTS
        assert store.count("GET", NAME) == 1


def test_hub_revision(client, server):
    commit = server.add("owner/tiny", {"config.json": b"old"}, revision="v1.0")
    assert read(client(REPO, "config.json")) == CONFIG
    assert read(client(f"{REPO}@v1.0", "config.json")) == b"old"
    assert read(client(REPO, "config.json", revision="v1.0")) == b"old"
    assert read(client(REPO, "config.json", revision=commit, env={"HF_HUB_OFFLINE": "1"})) == b"old"
    for required in (True, False):
        check_error(client(f"{REPO}@v9", "config.json", required), "FileMissingError", "'v9'", "config.json", REPO)


def test_hub_files_are_of_one_commit(server, tmp_path):
    """A branch that moves between two files of a source leaves them of one commit."""
    script = """
        import sys
        from mf_core.hub import open_source
        source = open_source("hub:owner/tiny")
        print(source.path("config.json").read_text(), flush=True)
        sys.stdin.readline()
        print(source.path("more.json").read_text(), open_source("hub:owner/tiny").path("more.json").read_text())
    """
    server.add("owner/tiny", {"config.json": b"first", "more.json": b"first"})
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(SRC), "HF_HUB_DISABLE_XET": "1",
                   "HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": server.url, "NO_PROXY": "127.0.0.1"}  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], env=environment, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdout.readline() == "first\n"
    server.add("owner/tiny", {"config.json": b"second", "more.json": b"second"})
    assert process.communicate("\n", timeout=50)[0] == "first second\n"


def test_hub_offline(client, server):
    offline = {"HF_HUB_OFFLINE": "1"}
    for required in (True, False):
        result = client(REPO, NAME, required, env=offline)
        check_error(result, "FileMissingError", NAME, REPO, "HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE")
        assert result["cause"] == "LocalEntryNotFoundError"
    assert server.log == []


def test_hub_file_that_does_not_exist(client, server):
    check_error(client(REPO, "absent.json"), "FileMissingError", "'absent.json'", REPO, "404")
    assert client(REPO, "absent.json", required=False) == {"path": None}
    # The cache remembers it, so that optional files do not stand in the way of working offline.
    offline = {"HF_HUB_OFFLINE": "1"}
    assert client(REPO, "absent.json", required=False, env=offline) == {"path": None}
    check_error(client(REPO, "absent.json", env=offline), "FileMissingError", "'absent.json'", REPO)
    check_error(client(REPO, "never-asked.json", required=False, env=offline), "FileMissingError", "HF_HUB_OFFLINE")
    # Nor does a file of which a cache with files knows nothing, as in one that another tool filled.
    assert read(client(REPO, NAME)) == WEIGHTS
    assert client(REPO, "never-asked.json", required=False, env=offline) == {"path": None}
    check_error(client(REPO, "never-asked.json", env=offline), "FileMissingError", "'never-asked.json'", REPO)


def test_hub_mirror_that_gives_no_error_codes(client, server):
    server.faults["/plain404.json"] = Fault("status", 404, methods=("HEAD", "GET"))
    check_error(client(REPO, "plain404.json"), "FileMissingError", "'plain404.json'", REPO, "404")
    assert client(REPO, "plain404.json", required=False) == {"path": None}


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_hub_connection_cut(client, server, kind):
    server.faults[NAME] = Fault(kind)
    check_error(client(REPO, NAME, sha256={NAME: SHA}), "DownloadError", NAME, REPO, "network")
    check_error(client(REPO, NAME, required=False), "DownloadError", NAME, REPO)
    assert client.leftovers() == []
    server.faults.clear()
    assert read(client(REPO, NAME, sha256={NAME: SHA})) == WEIGHTS


def again(location: str, filename: str, client: Client, **options: Any) -> Any:
    """Call once, and once more after a cut: old clients resume in the next call, newer ones in the same."""
    result = client(location, filename, **options)
    return client(location, filename, **options) if result.get("error") == "DownloadError" else result


@pytest.mark.parametrize("kind", ["cut", "stall"])
def test_hub_download_resumes(client, server, kind):
    large = WEIGHTS * 96  # the client keeps what it has received in units of 10 MiB
    server.add("owner/large", {NAME: large})
    server.faults[NAME] = Fault(kind, times=1)
    sha256 = {NAME: hashlib.sha256(large).hexdigest()}
    assert read(again("hub:owner/large", NAME, client, sha256=sha256, env={"HF_HUB_DOWNLOAD_TIMEOUT": "1"})) == large
    first, second = server.ranges(NAME)
    assert first is None and second.startswith("bytes=") and second != "bytes=0-"


def test_hub_file_shorter_than_announced(client, server):
    server.faults[NAME] = Fault("short")
    result = client(REPO, NAME)
    check_error(result, "IntegrityError", NAME, REPO, "truncated", str(len(WEIGHTS)))
    assert "force_download" not in result["text"]
    assert client.leftovers() == []
    server.faults.clear()
    assert read(client(REPO, NAME)) == WEIGHTS


def test_hub_server_that_announces_too_much(client, server):
    server.add("owner/large", {NAME: WEIGHTS * 80})  # half of it is one unit
    server.faults[NAME] = Fault("lie")
    # Bytes that are announced and never come look like a cut, until the server is asked for the rest.
    check_error(client(REPO, NAME, required=False), "DownloadError", NAME, REPO, "network")
    result = again("hub:owner/large", NAME, client)
    check_error(result, "IntegrityError", NAME, "hub:owner/large", "416")
    assert client.leftovers() == []


def test_hub_wrong_checksum(client, server):
    server.faults[NAME] = Fault("corrupt")
    result = client(REPO, NAME, sha256={NAME: SHA})
    actual = hashlib.sha256(bytes([1]) + WEIGHTS[1:]).hexdigest()
    check_error(result, "IntegrityError", NAME, REPO, SHA, actual, "run again")
    assert client.leftovers() == []
    server.faults.clear()
    assert read(client(REPO, NAME, sha256={NAME: SHA})) == WEIGHTS


def test_hub_file_damaged_in_the_cache(client):
    path = Path(client(REPO, NAME, sha256={NAME: SHA})["path"])
    path.resolve().write_bytes(WEIGHTS[:-1] + b"?")
    check_error(client(REPO, NAME, sha256={NAME: SHA}, env={"HF_HUB_OFFLINE": "1"}), "IntegrityError", NAME, SHA)
    assert client.leftovers() == []
    assert read(client(REPO, NAME, sha256={NAME: SHA})) == WEIGHTS


def test_hub_gated_repository(client, server):
    server.add("owner/gated", {NAME: WEIGHTS}, token="hf_secret")
    result = client("hub:owner/gated", NAME, required=False)
    check_error(result, "DownloadError", NAME, "hub:owner/gated", "401", "HF_TOKEN")
    assert result["cause"] == "GatedRepoError"
    assert read(client("hub:owner/gated", NAME, env={"HF_TOKEN": "hf_secret"})) == WEIGHTS


def test_hub_unknown_repository(client):
    # An anonymous caller is not told whether a repository is private or not there.
    check_error(client("hub:owner/typo", NAME), "DownloadError", NAME, "hub:owner/typo", "401", "check the name")


def test_hub_repository_not_found_by_an_authorized_caller(client, server):
    server.faults["config.json"] = Fault("status", 404, {"X-Error-Code": "RepoNotFound"}, methods=("HEAD",))
    for required in (True, False):
        check_error(client(REPO, "config.json", required), "FileMissingError", "'owner/tiny'", "config.json")


@pytest.mark.parametrize("status, words", [(403, "HF_TOKEN"), (429, "wait"), (500, "later"), (503, "later")])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_hub_server_refuses(client, server, status, words, method):
    server.faults[NAME] = Fault("status", status, methods=(method,))
    check_error(client(REPO, NAME, required=False), "DownloadError", NAME, REPO, str(status), words)
    assert client.leftovers() == []
    server.faults.clear()
    assert read(client(REPO, NAME)) == WEIGHTS


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_hub_server_hangs_up(client, server, method):
    server.faults[NAME] = Fault("drop", methods=(method,))
    check_error(client(REPO, NAME, required=False), "DownloadError", NAME, REPO, "HF_HUB_OFFLINE=1")


def test_hub_unreachable(client, server):
    assert read(client(REPO, "config.json")) == CONFIG
    unreachable = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    assert read(client(REPO, "config.json", env=unreachable)) == CONFIG
    result = client(REPO, NAME, required=False, env=unreachable)
    check_error(result, "DownloadError", NAME, REPO, unreachable["HF_ENDPOINT"], "network")


def test_hub_endpoint_that_is_not_a_hub(client, server):
    server.plain[f"/owner/tiny/resolve/main/{NAME}"] = b"<html>Please log in</html>"
    check_error(client(REPO, NAME, required=False), "DownloadError", NAME, REPO, "FileMetadataError", server.url)


def test_hub_cache_that_cannot_be_written(client, tmp_path):
    (tmp_path / "flat").write_text("")
    result = client(REPO, NAME, env={"HF_HOME": str(tmp_path / "flat")})
    check_error(result, "DownloadError", NAME, REPO)
    # The notes on verified files are a convenience: without them the file is read each time.
    assert read(client(REPO, NAME, sha256={NAME: SHA}, env={"MF_CACHE": str(tmp_path / "flat")})) == WEIGHTS


# Plain URLs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def url(server):
    return f"{server.url}/models/tiny"


def test_url_file_is_fetched_once(client, server, url):
    path = client(url, NAME, sha256={NAME: SHA})
    assert read(path) == WEIGHTS and Path(path["path"]).name == NAME
    assert Path(path["path"]).is_relative_to(client.root / "mf" / "files")
    server.log.clear()
    assert client(f"{url}/", NAME, sha256={NAME: SHA.upper()}) == path
    assert server.log == []


def test_url_file_is_downloaded_by_one_of_several_processes(client, server, url):
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: client(url, NAME, sha256={NAME: SHA}), range(3)))
    assert [read(result) for result in results] == [WEIGHTS] * 3
    assert server.count("GET", NAME) == 1


def test_url_file_needs_a_checksum(client, server, url):
    for required in (True, False):
        check_error(client(url, NAME, required), "IntegrityError", NAME, url, "no SHA-256", "none")
    check_error(client(url, NAME, sha256={"vocab.json": SHA}), "IntegrityError", NAME, url, "listed: vocab.json")
    # A list says what the folder holds.
    assert client(url, NAME, required=False, sha256={"vocab.json": SHA}) == {"path": None}
    assert server.log == []


def test_url_wrong_checksum(client, url):
    wrong = "0" * 64
    check_error(client(url, NAME, sha256={NAME: wrong}), "IntegrityError", NAME, url, wrong, SHA, "run again")
    assert client.leftovers() == []
    assert read(client(url, NAME, sha256={NAME: SHA})) == WEIGHTS


def test_url_file_damaged_in_the_cache_is_fetched_again(client, url):
    path = Path(client(url, NAME, sha256={NAME: SHA})["path"])
    path.write_bytes(b"half")
    assert read(client(url, NAME, sha256={NAME: SHA})) == WEIGHTS


@pytest.mark.parametrize("kind", ["cut", "reset", "drop"])
def test_url_connection_cut(client, server, url, kind):
    server.faults[NAME] = Fault(kind)
    check_error(client(url, NAME, False, sha256={NAME: SHA}), "DownloadError", NAME, url, "network")
    assert client.leftovers() == []
    server.faults.clear()
    assert read(client(url, NAME, sha256={NAME: SHA})) == WEIGHTS


def test_url_truncated(client, server, url):
    server.faults[NAME] = Fault("short")
    check_error(client(url, NAME, sha256={NAME: SHA}), "IntegrityError", NAME, url, f"{len(WEIGHTS) // 2} bytes")
    assert client.leftovers() == []


def test_url_file_that_does_not_exist(client, server, url):
    server.faults["gone.json"] = Fault("status", 404)
    check_error(client(url, "gone.json", sha256={"gone.json": SHA}), "FileMissingError", "gone.json", url, "404")
    assert client(url, "gone.json", required=False, sha256={"gone.json": SHA}) == {"path": None}


@pytest.mark.parametrize("status, words", [(401, "public"), (403, "public"), (429, "wait"), (500, "later")])
def test_url_server_refuses(client, server, url, status, words):
    server.faults[NAME] = Fault("status", status)
    check_error(client(url, NAME, False, sha256={NAME: SHA}), "DownloadError", NAME, url, str(status), words)


def test_url_unreachable(client):
    url = "http://127.0.0.1:9/models"
    check_error(client(url, NAME, False, sha256={NAME: SHA}), "DownloadError", NAME, url, "network")


def test_url_cache_that_cannot_be_written(client, url, tmp_path):
    (tmp_path / "flat").write_text("")
    result = client(url, NAME, sha256={NAME: SHA}, env={"MF_CACHE": str(tmp_path / "flat")})
    check_error(result, "DownloadError", NAME, url)


# Directories and packages ------------------------------------------------------------------------------------------


def test_directory(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "config.json").write_bytes(CONFIG)
    source = open_source(str(tmp_path))
    assert source.location == str(tmp_path)
    assert source.path("sub/config.json").read_bytes() == CONFIG
    assert source.path("config.json", required=False) is None
    with pytest.raises(FileMissingError, match=r"did you mean 'config.json'"):
        source.path("sub/confg.json")


def test_directory_with_a_dangling_link(tmp_path):
    (tmp_path / NAME).symlink_to(tmp_path / "blob")
    with pytest.raises(FileMissingError, match=r"is a link to .*blob"):
        open_source(str(tmp_path)).path(NAME, required=False)
    (tmp_path / "blob").write_bytes(WEIGHTS)
    assert open_source(str(tmp_path)).path(NAME) == tmp_path / NAME


def test_directory_that_does_not_exist(tmp_path):
    with pytest.raises(FileMissingError, match="no directory"):
        open_source(str(tmp_path / "absent"))
    with pytest.raises(FileMissingError, match="write 'hub:owner/tiny'"):
        open_source("owner/tiny")
    (tmp_path / "config.json").write_bytes(CONFIG)
    with pytest.raises(FileMissingError, match="give its directory"):
        open_source(str(tmp_path / "config.json"))
    with pytest.raises(FileMissingError):
        open_source("")


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "mf_hub_sample" / "sub" / "data-1"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(CONFIG)
    for module in ("mf_hub_sample", "mf_hub_sample/sub"):
        (tmp_path / module / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "mf_hub_module.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_package(package):
    for location in ("package:mf_hub_sample.sub/data-1", "package:mf_hub_sample/sub/data-1"):
        source = open_source(location)
        assert source.location == location
        assert source.path("config.json") == package / "config.json"
        assert source.path("absent", required=False) is None
    assert "mf_hub_sample" not in sys.modules
    with pytest.raises(FileMissingError, match=r"config\.json"):
        source.path("absent")


def test_package_that_is_not_there(package):
    with pytest.raises(NotInstalledError, match="'mf_no_such_package'"):
        open_source("package:mf_no_such_package/data")
    with pytest.raises(FileMissingError, match="has no folder 'sub/data-2'"):
        open_source("package:mf_hub_sample.sub/data-2")
    with pytest.raises(FileMissingError, match="is not a package"):
        open_source("package:mf_hub_module/data")


# What every source shares ------------------------------------------------------------------------------------------

OUTSIDE = ["../x", "a/../../x", "/etc/passwd", "a\\..\\x", "C:x", "C:\\x", "\\\\host\\x", "a\0b", "", ".", ".."]


@pytest.mark.parametrize("filename", OUTSIDE)
def test_file_names_stay_inside(tmp_path, filename):
    for location in (str(tmp_path), "hub:owner/tiny", "http://127.0.0.1:9/x", "package:mf_core/nn"):
        for required in (True, False):
            with pytest.raises(ArgumentError, match="is not the name of a file inside"):
                open_source(location).path(filename, required=required)


@pytest.mark.parametrize(
    "location",
    [
        *("hub:", "hub:tiny", "hub:a/b/c", "hub:../b", "hub:a/..", "hub:a/b@", "hub:a/b@../x", "hub:a/b@/x"),
        *("hub:a/b@x y", "package:", "package:/x", "package:mf_core/../x", "package:mf_core//etc", "package:1x/y"),
        *("https://", "https:///x", "https://host/x?y=1", "https://host/x#y", "https://[host/x"),
    ],
)
def test_malformed_locations(location):
    with pytest.raises(ArgumentError):
        open_source(location)


def test_repository_name_that_only_the_client_refuses(client, server):
    check_error(client("hub:a--b/c", NAME), "ArgumentError", "hub:a--b/c")
    assert server.log == []


def test_revisions_that_make_no_sense(tmp_path):
    assert open_source("hub:a/b", revision="v1").location == "hub:a/b@v1"
    assert open_source("hub:a/b@v1", revision="v1").location == "hub:a/b@v1"
    with pytest.raises(ArgumentError, match="pinned"):
        open_source("hub:a/b@v1", revision="v2")
    for location in (str(tmp_path), "package:mf_core/nn", "https://host/x"):
        with pytest.raises(ArgumentError, match="takes no revision"):
            open_source(location, revision="v1")


def test_cache_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MF_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_dir() == tmp_path / ".cache" / "mf"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "mf"
    monkeypatch.setenv("MF_CACHE", "~/mine")
    assert cache_dir() == tmp_path / "mine"
    assert list(tmp_path.iterdir()) == []


def test_a_verified_file_is_read_once(monkeypatch, tmp_path):
    monkeypatch.setenv("MF_CACHE", str(tmp_path / "mf"))
    reads = []
    sha256_of = cache.sha256_of
    monkeypatch.setattr(cache, "sha256_of", lambda path: reads.append(path) or sha256_of(path))
    path = tmp_path / NAME
    path.write_bytes(WEIGHTS)
    assert [cache.verified_sha256(path, SHA) for _ in range(3)] == [SHA] * 3
    assert len(reads) == 1
    assert cache.verified_sha256(path, "0" * 64) == SHA
    path.write_bytes(b"changed")
    os.utime(path, ns=(1, 1))
    assert cache.verified_sha256(path, SHA) == hashlib.sha256(b"changed").hexdigest()
    (note,) = (tmp_path / "mf" / "verified").iterdir()
    note.write_bytes(b"\xff damaged")
    path.write_bytes(WEIGHTS)
    assert cache.verified_sha256(path, SHA) == SHA


def test_remove_takes_the_whole_chain_of_links(tmp_path):
    (tmp_path / "store").write_bytes(b"bad")
    (tmp_path / "blob").symlink_to("store")
    (tmp_path / "file").symlink_to(tmp_path / "blob")
    assert cache.remove(tmp_path / "file", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_remove_leaves_files_outside_of_the_cache(tmp_path):
    (tmp_path / "mine").write_bytes(b"bad")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "blob").symlink_to(tmp_path / "mine")
    (tmp_path / "cache" / "file").symlink_to("blob")
    assert cache.remove(tmp_path / "cache" / "file", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    assert (tmp_path / "mine").exists()


def test_what_cannot_be_removed_is_named(monkeypatch, tmp_path):
    def refuse(self, missing_ok=False):
        raise PermissionError("read-only")

    (tmp_path / "file").write_bytes(b"bad")
    monkeypatch.setattr(Path, "unlink", refuse)
    assert not cache.remove(tmp_path / "file", tmp_path)
    source = open_source(REPO, sha256={NAME: SHA})
    error = source.differs(NAME, "0" * 64, size=3, left=tmp_path / "file")
    assert isinstance(error, IntegrityError) and f"remove {tmp_path / 'file'}" in str(error)


def test_import_is_light():
    heavy = ["huggingface_hub", "pooch", "requests", "httpx", "httpx2", "tqdm", "numpy", "mindspore"]
    code = f"import sys, mf_core.hub; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(SRC)}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.txt", "spiece.model", "chat_template.jinja"])
def test_text_files_have_a_limit(name, tmp_path):
    for size in (TEXT_LIMIT, TEXT_LIMIT + 1):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
        if size == TEXT_LIMIT:
            assert open_source(str(tmp_path)).path(name) == tmp_path / name
    with pytest.raises(IntegrityError, match="67,108,865 bytes"):
        open_source(str(tmp_path)).path(name)


@pytest.mark.parametrize("source", ["hub", "url"])
def test_large_downloads_are_asked_for(client, server, url, source):
    location, options = (REPO, {}) if source == "hub" else (url, {"sha256": {NAME: SHA}})
    result = client(location, NAME, env={"MF_DOWNLOAD_LIMIT": "100kB"}, **options)
    assert result["error"] == "DownloadError"
    assert "is a download of 262.1 kB" in result["text"]
    assert "MF_DOWNLOAD_LIMIT=263kB (or none)" in result["text"]
    assert not client.leftovers()
    assert "path" in client(location, NAME, env={"MF_DOWNLOAD_LIMIT": "263kB"}, **options)
    assert "path" in client(location, NAME, env={"MF_DOWNLOAD_LIMIT": "1"}, **options)  # it is in the cache


def test_size_limit(monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("MF_DOWNLOAD_LIMIT", "1.5 GB")
    limit = SizeLimit("hub:owner/large")
    limit.check("model.safetensors", 10**9)
    limit.check("more.safetensors", None)
    with pytest.raises(DownloadError, match=r"hub:owner/large is a download of 1.6 GB, which is not made"):
        limit.check("more.safetensors", 6 * 10**8)
    with pytest.raises(DownloadError, match=r"about 31.0 GB") as caught:
        limit.check("model-00001-of-00030.safetensors", 10**9)
    assert "MF_DOWNLOAD_LIMIT=32GB" in caught.value.hint
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setattr(sys, "stdin", Terminal("n\nyes\n"))
    with pytest.raises(DownloadError, match="was not downloaded"):
        limit.check("more.safetensors", 6 * 10**8)
    for _ in range(2):  # asked once
        limit.check("more.safetensors", 6 * 10**8)
    assert terminal.getvalue().count("is a download of 1.6 GB. Continue? [y/N]") == 2
    monkeypatch.setenv("MF_DOWNLOAD_LIMIT", "none")
    SizeLimit("hub:owner/large").check("model.safetensors", 10**15)
    for text in ("many", "-1", "1" * 400, "1e9"):
        monkeypatch.setenv("MF_DOWNLOAD_LIMIT", text)
        with pytest.raises(ArgumentError, match="MF_DOWNLOAD_LIMIT"):
            SizeLimit("hub:owner/large").check("model.safetensors", 1)
