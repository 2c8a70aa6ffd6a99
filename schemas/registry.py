"""Client of a schema registry's Confluent API, for the codec and for deploying."""

import json
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import structlog

from schemas.bounded_http import Answer, BoundedHttp, NoAnswer, TooLarge, without_password
from schemas.cleaned_schema import UnsafeSchema, schema_of_text
from schemas.codec import MOST_ID, Codec, SubjectNames
from schemas.deployment import WireSettings
from schemas.errors import DeployRefused, NotRegistered, RegistryAway, Undecodable, one_line
from schemas.log_events import SUBJECTS_UNKNOWN
from schemas.settings import RegistrySettings
from schemas.store import SchemaStore as SchemaStore

ANSWER_SECONDS = 5.0
"""For one complete answer; Apicurio 3.3.3 never answers one request in some thousands."""
MOST_BYTES = 1024 * 1024
"""Of one answer; a schema may have a quarter of that."""
_RETRY_SECONDS = 0.2

# Confluent's codes for "there is no such subject, version or schema"; a bare 404 is a wrong address
_UNKNOWN = frozenset({40401, 40402, 40403})
# its code for "this subject has no compatibility of its own"
_NO_COMPATIBILITY = 40408
# statuses of a schema that the registry refuses
_REFUSING = frozenset({409, 422})
# statuses that another try may not have
_PASSING = frozenset({429, 500, 502, 503, 504})

log = structlog.get_logger(__name__)


class _Failed(Exception):
    """An answer that is an error; `code` is the registry's own, where it has one."""

    def __init__(self, status: int, said: str, code: int | None = None) -> None:
        super().__init__(f"answered {status}: {said}")
        self.status = status
        self.said = said
        self.code = code


class ConfluentRegistry:
    """A registry with the Confluent API. Thread-safe; caches nothing (the codec does).

    Closes its connections when it is garbage-collected. Confluent's own client is not used: it caches every
    answer and reads answers of any size.
    """

    def __init__(self, settings: RegistrySettings, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._base = settings.url
        self._url = without_password(settings.url)
        self._http = BoundedHttp(
            seconds=answer_seconds, most_bytes=MOST_BYTES, auth=settings.basic_authentication()
        )
        weakref.finalize(self, self._http.close)

    def schema_of(self, schema_id: int) -> Any:
        """See `SchemaStore.schema_of`."""
        with self._answering():
            try:
                found = _with_schema(self._ask("GET", f"schemas/ids/{schema_id}"))
            except _Failed as error:
                if error.code not in _UNKNOWN:
                    raise
                raise Undecodable(
                    "unknown_schema_id", f"the registry {self._url} has no schema {schema_id}"
                ) from error
            except TooLarge as error:
                if error.status != 200 or not error.is_json:
                    raise
                raise Undecodable(
                    "unresolvable", f"schema {schema_id} cannot be used for decoding: the registry {error}"
                ) from error
        if (kind := found.get("schemaType", "AVRO")) != "AVRO":
            raise Undecodable("wrong_record", f"schema {schema_id} is {kind}, not an Avro record")
        try:
            return _avro(found)
        except UnsafeSchema as fault:
            why = f"schema {schema_id} cannot be used for decoding: {fault}"
            raise Undecodable("unresolvable", why) from fault

    def subjects_of(self, schema_id: int) -> list[str] | None:
        """See `SchemaStore.subjects_of`."""
        with self._answering():
            try:
                # records outlive the versions that they were written with
                found = self._ask("GET", f"schemas/ids/{schema_id}/versions?deleted=true")
                return [_text(_object(version), "subject") for version in _list(found)]
            except _Failed as error:
                if error.code in _UNKNOWN:
                    return []
                if error.status in _PASSING:
                    raise
                said = str(error)
            except TooLarge as error:
                said = str(error)
        SUBJECTS_UNKNOWN.emit(
            log,
            registry=self._url,
            schema_id=schema_id,
            error=said,
        )
        return None

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        """See `SchemaStore.id_of`."""
        with self._answering():
            try:
                return _id(self._ask("POST", f"subjects/{quote(subject, safe='')}", _registered(schema)))
            except _Failed as error:
                if error.code not in _UNKNOWN:
                    raise
                raise NotRegistered(
                    f"subject {subject!r} at {self._url} lacks this version's schema; "
                    "run `opoi schemas apply`"
                ) from error

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """The id of `schema`, registered now. Raises DeployRefused (incompatible) or RegistryAway."""
        with self._answering():
            try:
                path = f"subjects/{quote(subject, safe='')}/versions"
                return _id(self._ask("POST", path, _registered(schema)))
            except _Failed as error:
                if error.status in _REFUSING:
                    raise DeployRefused(error.said) from error
                raise

    def schemas_of(self, subject: str) -> list[tuple[str, Any]]:
        """Every version of a subject, oldest first: "version N" and its schema, any JSON value.

        A schema that cannot be read is replaced by the UnsafeSchema that says why. Raises RegistryAway.
        """
        path = f"subjects/{quote(subject, safe='')}/versions"
        with self._answering():
            try:
                numbers = _list(self._ask("GET", path))
            except _Failed as error:
                if error.code in _UNKNOWN:
                    return []
                raise
            found = [_with_schema(self._ask("GET", f"{path}/{_number(number)}")) for number in numbers]
        return [
            (f"version {number}", _avro_or_fault(version))
            for number, version in zip(numbers, found, strict=True)
        ]

    def compatibility(self, subject: str) -> str | None:
        """The subject's own compatibility; None where it has none. Raises RegistryAway."""
        with self._answering():
            try:
                found = _object(self._ask("GET", f"config/{quote(subject, safe='')}"))
                return _text(found, "compatibilityLevel")
            except _Failed as error:
                if error.code in {*_UNKNOWN, _NO_COMPATIBILITY}:
                    return None
                raise

    def set_compatibility(self, subject: str, level: str) -> None:
        """Sets the subject's compatibility, before or after its first version. Raises RegistryAway."""
        with self._answering():
            self._ask("PUT", f"config/{quote(subject, safe='')}", {"compatibility": level})

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Turns network errors and unusable answers into RegistryAway."""
        try:
            yield
        except _Failed as error:
            raise RegistryAway(f"registry {self._url} {error}{_remedy(error.status)}") from error
        except NoAnswer as error:
            raise RegistryAway(f"registry {self._url} {error}") from error

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON of an answer. Raises NoAnswer and _Failed, each after a second try where that may help."""
        url = f"{self._base}/{path}"
        content = None if body is None else json.dumps(body).encode()
        try:
            answer = self._http.ask(method, url, content, **_HEADERS)
        except TooLarge:
            raise
        except NoAnswer:
            answer = None
        if answer is not None and answer.status not in _PASSING:
            return _judged(answer)
        time.sleep(_RETRY_SECONDS)
        return _judged(self._http.ask(method, url, content, **_HEADERS))


_HEADERS = {
    "Accept": "application/vnd.schemaregistry.v1+json, application/json",
    "Content-Type": "application/vnd.schemaregistry.v1+json",
}


def _judged(answer: Answer) -> Any:
    """The JSON of a good answer. Raises _Failed for any other."""
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        begins = answer.body[:80].decode(errors="replace")
        raise _Failed(answer.status, answer.location or one_line(begins) or "nothing") from None
    if 200 <= answer.status < 300:
        return found
    code = found.get("error_code") if isinstance(found, dict) and 400 <= answer.status < 500 else None
    said = found.get("message") if isinstance(found, dict) else None
    raise _Failed(answer.status, one_line(str(said or found)), code if isinstance(code, int) else None)


def _remedy(status: int) -> str:
    if status in (401, 403):
        return "; set OPOI_REGISTRY__USERNAME and OPOI_REGISTRY__PASSWORD"
    return "; is OPOI_REGISTRY__URL its Confluent API?" if status < 400 or status == 404 else ""


def _odd(found: Any) -> _Failed:
    """The error of JSON that is no answer of a registry."""
    return _Failed(200, f"not what a schema registry answers: {one_line(json.dumps(found)[:80])}")


def _object(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise _odd(found)
    return found


def _list(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise _odd(found)
    return found


def _text(found: dict[str, Any], key: str) -> str:
    if not isinstance(text := found.get(key), str):
        raise _odd(found)
    return text


def _number(found: Any) -> int:
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= MOST_ID:
        raise _odd(found)
    return found


def _id(found: Any) -> int:
    return _number(_object(found).get("id"))


def _with_schema(found: Any) -> dict[str, Any]:
    _text(_object(found), "schema")
    return _object(found)


def _registered(schema: dict[str, Any]) -> dict[str, Any]:
    # Apicurio 3.3 refuses a schema with the four characters "{}" in it; escaped, it is the same JSON
    return {"schema": json.dumps(schema).replace('"{}"', r'"\u007b\u007d"'), "schemaType": "AVRO"}


def _avro(found: dict[str, Any]) -> Any:
    """The Avro schema in an answer. Raises UnsafeSchema."""
    if found.get("references"):
        raise UnsafeSchema("it refers to other schemas; register it with them inline")
    return schema_of_text(found["schema"])


def _avro_or_fault(found: dict[str, Any]) -> Any:
    if (kind := found.get("schemaType", "AVRO")) != "AVRO":
        return UnsafeSchema(f"it is {kind}, not Avro")
    try:
        return _avro(found)
    except UnsafeSchema as fault:
        return fault


def make_codec(settings: WireSettings) -> Codec:
    """The codec over the settings' registry."""
    return Codec(ConfluentRegistry(settings.registry), SubjectNames(settings.kafka.topic_names))
