"""Requests of the loopback hub that change a repository."""

import base64
import hashlib
import json

from hub_repository import Repository, hub_hash, is_large


class Uploads:
    """Answers of a request handler that has `answer`, `refuse`, `repository`, `revision`, `body` and `hub`."""

    def create(self):
        asked = json.loads(self.body)
        if not self.is_known:
            return self.refuse(401, message="Invalid username or password.")
        repo_id = f"{asked.get('organization') or 'lab'}/{asked['name']}"
        url = {"url": f"{self.hub.endpoint}/{repo_id}"}
        if repo_id in self.hub.repositories:
            return self.answer({"error": "You already created this model repo", **url}, status=409)
        is_private = asked.get("visibility") == "private" or bool(asked.get("private"))
        repository = self.hub.repositories[repo_id] = Repository(private=is_private)
        repository.commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        return self.answer(url)

    def validate_yaml(self):
        self.answer({"errors": [], "warnings": []})

    def preupload(self, repo_id, revision):
        repository, commit = self.revision(repo_id, revision)
        if repository is None:
            return
        answers = []
        for path in (file["path"] for file in json.loads(self.body)["files"]):
            content = repository.commits[commit].get(path)
            mode = "lfs" if is_large(path) else "regular"
            oid = None if content is None else hub_hash(path, content)
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.answer({"files": answers})

    def large_file_batch(self, repo_id):
        if self.repository(repo_id) is None:
            return
        objects = json.loads(self.body)["objects"]
        for asked in objects:
            if asked["oid"] not in self.hub.large_files:
                places = {"upload": f"/upload/{asked['oid']}", "verify": "/verify"}
                asked["actions"] = {name: {"href": self.hub.endpoint + path} for name, path in places.items()}
        self.answer({"transfer": "basic", "objects": objects})

    def upload_large_file(self, sha256):
        if hashlib.sha256(self.body).hexdigest() != sha256:
            return self.refuse(400, message="wrong sha256")
        self.hub.large_files[sha256] = self.body
        self.answer(b"")

    def verify_large_file(self):
        asked = json.loads(self.body)
        is_there = len(self.hub.large_files.get(asked["oid"], b"")) == asked["size"]
        self.answer({}, status=200 if is_there else 404)

    def commit(self, repo_id, revision):
        repository, parent = self.revision(repo_id, revision)
        if repository is None:
            return
        files = dict(repository.commits[parent])
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            if line["key"] == "header" and value.get("parentCommit") not in (None, parent):
                return self.refuse(412, message="A commit has happened since")
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large_files[value["oid"]]
        oid = repository.commit(files)
        url = f"{self.hub.endpoint}/{repo_id}/commit/{oid}"
        self.answer({"success": True, "commitOid": oid, "commitUrl": url, "pullRequestUrl": None})

    def tag(self, repo_id, revision):
        repository, commit = self.revision(repo_id, revision)
        if repository is not None:
            name = json.loads(self.body)["tag"]
            if name in repository.tags:
                return self.refuse(409, message="Tag reference exists already")
            repository.tags[name] = commit
            self.answer({})
