"""
A small Hub on 127.0.0.1, for tests: what `huggingface_hub` asks for to create, push, tag, list and pull models.

It speaks the protocol (repositories, commits, tags, large files, ranges, errors by header), keeps everything in memory,
logs each request, and can be told to misbehave as real servers, proxies and attackers do.
"""

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from hub_repository import Repository, git_hash, hub_hash, is_large
from hub_uploads import Uploads

WRITE_TOKEN = "hf_loopbackWriteToken000000000000000000"


class LoopbackHub:
    """
    The server.

    Attributes
    ----------
    requests : list of (method, path)
        All requests so far.
    fail_next : list of int
        Status codes to answer the next requests with.
    tampered : dict
        Path of a file -> function of its bytes: what is sent in its place.
    truncate_next : int
        Downloads to cut off half way.
    sha_answer, listing_extra : str | None
        A commit, or one more path in each listing, as an attacker would send it.
    """

    def __init__(self):
        self.repositories: dict[str, Repository] = {}
        self.large_files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.fail_next: list[int] = []
        self.tampered: dict = {}
        self.truncate_next = 0
        self.sha_answer = self.listing_extra = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    @contextmanager
    def running(self):
        """Serve until the block ends; afterwards the port refuses connections."""
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stop()
            thread.join()

    def stop(self):
        from huggingface_hub import close_session

        self.server.shutdown()
        self.server.server_close()
        close_session()  # a connection that is kept alive would still be answered

    def count(self, method: str | None = None) -> int:
        return sum(method is None or asked == method for asked, _ in self.requests)


class _Handler(Uploads, BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def do_any(self):
        self.body = self._read_body()
        path = unquote(urlsplit(self.path).path)
        self.query = parse_qs(urlsplit(self.path).query)
        self.hub.requests.append((self.command, path))
        if self.hub.fail_next:
            return self.answer({"error": "told to fail"}, status=self.hub.fail_next.pop(0))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.is_known = token == WRITE_TOKEN
        if token and not self.is_known:
            return self.refuse(401, message="Invalid credentials in Authorization header")
        for methods, pattern, action in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in methods.split():
                return getattr(self, action)(**found.groupdict())
        return self.refuse(404, message=f"no route {self.command} {path}")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_any

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def answer(self, content, status=200, headers=None):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code=None, message="refused", headers=None):
        headers = {**(headers or {}), "X-Error-Message": message}
        self.answer({"error": message}, status, headers | ({"X-Error-Code": code} if code else {}))

    def repository(self, repo_id) -> Repository | None:
        """The repository, if this user may see it; otherwise the request is answered."""
        repository = self.hub.repositories.get(repo_id)
        if repository is None or (repository.private and not self.is_known):
            self.refuse(404 if self.is_known else 401, "RepoNotFound", "Repository not found")
            return None
        if self.command not in ("GET", "HEAD") and not self.is_known:
            self.refuse(403, message="This token has no write permission")
            return None
        return repository

    def revision(self, repo_id, revision):
        repository = self.repository(repo_id)
        if repository is None:
            return None, None
        commit = repository.resolve(revision)
        if commit is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None, None
        return repository, commit

    def refs(self, repo_id):
        repository = self.repository(repo_id)
        if repository is None:
            return
        answers = {"converts": []}
        for kind, folder, names in (("branches", "heads", repository.branches), ("tags", "tags", repository.tags)):
            answers[kind] = [
                {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": commit} for name, commit in names.items()
            ]
        self.answer(answers)

    def info(self, repo_id, revision="main"):
        repository, commit = self.revision(repo_id, revision)
        if repository is None:
            return
        siblings = []
        for path, content in repository.commits[commit].items():
            lfs = (
                {"sha256": hub_hash(path, content), "size": len(content), "pointerSize": 128}
                if is_large(path)
                else None
            )
            siblings.append({"rfilename": path, "size": len(content), "blobId": git_hash(content), "lfs": lfs})
        if self.hub.listing_extra is not None:
            siblings.append({"rfilename": self.hub.listing_extra, "size": 4, "blobId": git_hash(b"evil")})
        rest = {"private": repository.private, "gated": "manual" if repository.gated else False, "tags": []}
        sha = self.hub.sha_answer or commit
        self.answer({"id": repo_id, "modelId": repo_id, "sha": sha, "siblings": siblings, **rest})

    def list_all(self):
        author = self.query.get("author", [""])[0]
        ids = [name for name, repository in self.hub.repositories.items() if not repository.private or self.is_known]
        self.answer([{"id": name, "modelId": name, "tags": []} for name in ids if name.startswith(f"{author}/")])

    def tree(self, repo_id, revision):
        repository, commit = self.revision(repo_id, revision)
        if repository is None:
            return
        files = dict(repository.commits[commit])
        if self.hub.listing_extra is not None:
            files[self.hub.listing_extra] = b"evil"
        entries = []
        for path, content in files.items():
            entry = {"type": "file", "path": path, "oid": git_hash(content), "size": len(content)}
            lfs = {"oid": hub_hash(path, content), "size": len(content), "pointerSize": 128}
            entries.append({**entry, "lfs": lfs} if is_large(path) else entry)
        self.answer(entries)

    def resolve(self, repo_id, revision, path):
        repository, commit = self.revision(repo_id, revision)
        if repository is None:
            return
        headers = {"X-Repo-Commit": commit}
        if repository.gated and not self.is_known:
            return self.refuse(401, "GatedRepo", "Access to this model is restricted", headers)
        if path not in repository.commits[commit]:
            return self.refuse(404, "EntryNotFound", "Entry not found", headers)
        content = repository.commits[commit][path]
        etag = f'"{hub_hash(path, content)}"'
        headers |= {"ETag": etag, "Accept-Ranges": "bytes"}
        if is_large(path):
            headers |= {"X-Linked-Etag": etag, "X-Linked-Size": str(len(content))}
        self._send_file(self.hub.tampered.get(path, bytes)(content), headers)

    def _send_file(self, content, headers):
        status, start = 200, 0
        if found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            status, start = 206, int(found[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        sent = content[start:]
        if self.command == "GET" and self.hub.truncate_next and len(content) > 1000:
            self.hub.truncate_next -= 1
            headers["Content-Length"] = str(len(sent))
            sent = sent[: len(sent) // 2]
            self.close_connection = True
        self.answer(sent, status, headers)


_ID, _REV = r"(?P<repo_id>[^/]+/[^/]+)", r"(?P<revision>[^/]+)"
ROUTES = [
    ("POST", "/api/repos/create", "create"),
    ("POST", "/api/validate-yaml", "validate_yaml"),
    ("POST", f"/api/models/{_ID}/preupload/{_REV}", "preupload"),
    ("POST", f"/{_ID}\\.git/info/lfs/objects/batch", "large_file_batch"),
    ("PUT", "/upload/(?P<sha256>[0-9a-f]{64})", "upload_large_file"),
    ("POST", "/verify", "verify_large_file"),
    ("POST", f"/api/models/{_ID}/commit/{_REV}", "commit"),
    ("POST", f"/api/models/{_ID}/tag/{_REV}", "tag"),
    ("GET", "/api/models", "list_all"),
    ("GET", f"/api/models/{_ID}/refs", "refs"),
    ("GET", f"/api/models/{_ID}/tree/{_REV}", "tree"),
    ("GET", f"/api/models/{_ID}/revision/{_REV}", "info"),
    ("GET", f"/api/models/{_ID}", "info"),
    ("GET HEAD", f"/{_ID}/resolve/{_REV}/(?P<path>.+)", "resolve"),
]
