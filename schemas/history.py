"""Earlier versions of the schemas, from git: topics may still hold records of them."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fastavro.schema
import orjson
import yaml
from fastavro.repository.base import AbstractSchemaRepository, SchemaRepositoryError

from schemas.catalog import HERE, NAMESPACE, plain, references
from schemas.child_environment import GIT, kept
from schemas.errors import SchemaError

NEVER_DEPLOYED = "never-deployed.yaml"


class NoHistory(SchemaError):
    """There is no complete git history to compare with; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Version:
    """The schema of a topic's record as one commit had it, self-contained."""

    topic: str
    record: str
    commit: str
    """The latest commit that had it, abbreviated, with its date."""
    schema: dict[str, Any]


def earlier_versions(folder: Path = HERE) -> list[Version]:
    """Every different version of every topic's schema in the history of HEAD and of all tags.

    `folder` holds `avsc/` and `topics/`. Commits named in `never-deployed.yaml` there (commit: reason)
    are left out, and so are a topic's schemas up to the last commit that has it as not produced. Raises
    NoHistory outside a git work tree and in a shallow clone.
    """
    prefix = _git(folder, "rev-parse", "--show-prefix").strip()
    if _git(folder, "rev-parse", "--is-shallow-repository").strip() == "true":
        raise NoHistory("this clone is shallow; run `git fetch --unshallow --tags`")
    listed = _git(
        folder, "log", "--full-history", "--format=%H %h of %cs", "HEAD", "--tags", "--", "avsc", "topics"
    )
    commits = [line.partition(" ")[::2] for line in listed.splitlines()]
    if not commits:
        raise NoHistory(f"{folder} is not tracked by the git repository around it")
    ignored = tuple(_never_deployed(folder))
    seen: dict[tuple[str, ...], Version] = {}
    unproduced: set[str] = set()
    with _Objects(folder, id_bytes=len(commits[0][0]) // 2) as objects:
        for commit, name in commits:
            if not commit.startswith(ignored):
                for key, version in _versions_at(objects, prefix, commit, name, unproduced):
                    seen.setdefault(key, version)
    return list(seen.values())


def _never_deployed(folder: Path) -> list[str]:
    path = folder / NEVER_DEPLOYED
    return [str(commit) for commit in yaml.safe_load(path.read_text())] if path.exists() else []


def _versions_at(
    objects: "_Objects", prefix: str, commit: str, name: str, unproduced: set[str]
) -> Iterator[tuple[tuple[str, ...], Version]]:
    """The topics' schemas in one commit, each with a key that is equal where the schema is.

    Topics that are not produced are added to `unproduced`; those in it are left out.
    """
    avsc = objects.tree(f"{commit}:{prefix}avsc")
    schemas = {file.removesuffix(".avsc"): sha for file, sha in avsc.items() if file.endswith(".avsc")}
    for file, sha in objects.tree(f"{commit}:{prefix}topics").items():
        spec = objects.yaml(sha) if file.endswith(".yaml") else {}
        topic, record = file.removesuffix(".yaml"), spec.get("record")
        root = f"{NAMESPACE}.{record}"
        if not spec.get("produced", True):
            unproduced.add(topic)
        if record is None or root not in schemas or topic in unproduced:
            continue
        blobs = {part: schemas[part] for part in _closure(root, schemas, objects)}
        key = (topic, *sorted(f"{part} {blob}" for part, blob in blobs.items()))
        try:
            found = objects.assembled(root, tuple(sorted(blobs.items())))
        except (SchemaRepositoryError, fastavro.schema.SchemaParseException) as error:
            raise NoHistory(f"{file} of commit {name} has no valid schema: {error}") from error
        yield key, Version(topic, record, name, found)


def _closure(root: str, schemas: dict[str, str], objects: "_Objects") -> set[str]:
    """`root` and every schema that it refers to."""
    found: set[str] = set()
    todo = [root]
    while todo:
        name = todo.pop()
        if name not in found and name in schemas:
            found.add(name)
            todo.extend(objects.references(schemas[name]))
    return found


class _Blobs(AbstractSchemaRepository):
    """Schemas of one commit by name."""

    def __init__(self, blobs: dict[str, str], objects: "_Objects") -> None:
        self._blobs = blobs
        self._objects = objects

    def load(self, name: str) -> Any:
        if name not in self._blobs:
            raise SchemaRepositoryError(f"no schema {name}")
        return orjson.loads(self._objects.blob(self._blobs[name]))


class _Objects:
    """Reads git objects through one process, and caches them."""

    def __init__(self, folder: Path, id_bytes: int) -> None:
        self._id_bytes = id_bytes
        self._process = subprocess.Popen(
            ["git", "-C", str(folder), "cat-file", "--batch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=kept(GIT),
        )
        self.blob = cache(self._read)
        self.yaml = cache(lambda sha: yaml.safe_load(self.blob(sha)))
        self.references = cache(lambda sha: tuple(references(orjson.loads(self.blob(sha)))))
        self.assembled = cache(self._assemble)

    def __enter__(self) -> "_Objects":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def tree(self, name: str) -> dict[str, str]:
        """File name to object id; empty where the commit has no such folder."""
        raw = self._read(name)
        entries: dict[str, str] = {}
        at = 0
        while at < len(raw):
            end = raw.index(b"\0", at)
            file = raw[at:end].partition(b" ")[2].decode()
            at = end + 1 + self._id_bytes
            entries[file] = raw[end + 1 : at].hex()
        return entries

    def _read(self, name: str) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{name}\n".encode())
        self._process.stdin.flush()
        header = self._process.stdout.readline().decode().rstrip("\n")
        if header.endswith(" missing"):
            return b""
        size = int(header.rsplit(" ", 1)[1])
        content = self._process.stdout.read(size)
        self._process.stdout.read(1)
        return content

    def _assemble(self, root: str, blobs: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        loaded = fastavro.schema.load_schema(root, repo=_Blobs(dict(blobs), self))
        return plain(loaded)  # type: ignore[no-any-return]


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            env=kept(GIT),
        )
    except FileNotFoundError:
        raise NoHistory("git is not installed") from None
    except subprocess.CalledProcessError as error:
        raise NoHistory(f"{folder} has no git history: {error.stderr.strip().splitlines()[-1]}") from None
    return done.stdout
