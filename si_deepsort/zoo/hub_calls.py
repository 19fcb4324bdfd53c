"""Calls to the Hub's client: a bounded number of tries, and errors that say what to do."""

import difflib
import errno
import json
import time
from collections.abc import Callable
from pathlib import Path

from .names import HubReference

RETRY_SECONDS = (0.5, 1.0, 2.0)
LONGEST_WAIT_S = 10.0
REQUEST_TIMEOUT_S = 10.0
_PASSING_TROUBLE = (429, 500, 502, 503, 504)
_WRONG_ANSWERS = (json.JSONDecodeError, KeyError, TypeError, AttributeError, AssertionError)


def call_hub(
    call: Callable,
    reference: HubReference,
    *,
    cache_dir=None,
    token=None,
    endpoint=None,
    is_push: bool = False,
    has_retries: bool = False,
):
    """
    Result of `call()`; 429 and 5xx are tried again, other errors are explained for who fetches, or pushes, a model.

    Parameters
    ----------
    call : callable
        Asks the Hub.
    reference : HubReference
        What it asks for.
    cache_dir, token, endpoint
        As for `load_model`.
    is_push : bool, default: False
        Whether a model is published, so that the advice is not about fetching it.
    has_retries : bool, default: False
        Whether the client itself tries this call again.

    Raises
    ------
    ValueError
        If the Hub answers that there is no such thing, or that this user may not have it.
    ConnectionError
        If it does not answer, or not as a Hub does.
    OSError
        If the cache cannot be written.
    """
    from huggingface_hub import get_session
    from huggingface_hub.errors import HfHubHTTPError

    hooks = get_session().event_hooks["response"]
    if _refuse_paths_in_headers not in hooks:
        hooks.append(_refuse_paths_in_headers)
    place = _Place(reference, cache_dir, token, endpoint, is_push)
    # The base of HfHubHTTPError is the HTTP library's own error; which library differs between versions of the client.
    network_error = HfHubHTTPError.__mro__[1]
    for wait_s in (*(() if has_retries else RETRY_SECONDS), None):
        try:
            return call()
        except (network_error, OSError) as error:
            response = _response_of(error)
            if wait_s is None or response is None or response.status_code not in _PASSING_TROUBLE:
                raise place.explain(error) from error
            asked_s = response.headers.get("Retry-After", "")
            time.sleep(min(float(asked_s) if asked_s.isdigit() else wait_s, LONGEST_WAIT_S))
        except _WRONG_ANSWERS as error:
            raise place.unreachable(f"it answered what no Hub answers: {type(error).__name__} {error}") from error
    raise AssertionError("the last try returns or raises")


def _refuse_paths_in_headers(response):
    # The client names files of its cache by these headers of a HEAD as they come (seen in 2.4.0): without this, a
    # malicious server could write a file of its choice anywhere on this machine. Other answers have harmless tags.
    if response.request.method != "HEAD":
        return
    for name in ("ETag", "X-Linked-Etag", "X-Repo-Commit"):
        value = response.headers.get(name, "").removeprefix("W/")
        if any(part in value for part in ("/", "\\", "..")):
            raise ValueError(
                f"The server {response.url.host} sent {value!r} as {name}, which no Hub does. Do not trust it."
            )


def unreachable_error(reference: HubReference, reason: str, cache_dir=None, endpoint=None) -> ConnectionError:
    """The error for a model that is neither in the cache nor within reach, with both remedies."""
    return _Place(reference, cache_dir=cache_dir, endpoint=endpoint).unreachable(reason)


class _Place:
    """Where a model was looked for."""

    def __init__(self, reference, cache_dir=None, token=None, endpoint=None, is_push=False):
        from huggingface_hub import constants

        self.reference, self.token, self.endpoint_argument, self.is_push = reference, token, endpoint, is_push
        self.cache = Path(cache_dir or constants.HF_HUB_CACHE)
        self.endpoint = endpoint or constants.ENDPOINT

    def explain(self, error: Exception) -> Exception:
        """The error that tells a user what to do about a failed call."""
        from huggingface_hub import errors

        reference, repo_id = self.reference, self.reference.repo_id
        if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
            return self.explain(error.__cause__)
        if isinstance(error, errors.GatedRepoError):
            return ValueError(
                f"{repo_id} is gated: its owner must let you in. Ask on {self.endpoint}/{repo_id}, then log in with "
                "`hf auth login` (or pass token=...)."
            )
        if isinstance(error, errors.RepositoryNotFoundError):
            return ValueError(
                f"There is no repository '{repo_id}' on {self.endpoint}, or it is private and you are not logged in "
                f"(`hf auth login`, or token=...).{self._nearest_repositories()}"
            )
        if isinstance(error, errors.RevisionNotFoundError):
            return ValueError(f"{repo_id} has no revision '{reference.revision}'.{self._known_revisions()}")
        if isinstance(error, errors.OfflineModeIsEnabled):
            return self.unreachable("HF_HUB_OFFLINE is set")
        response = _response_of(error)
        if response is not None:
            return self._explain_status(response.status_code)
        # A full disk or a folder without permission is a trouble of this machine, not of the Hub.
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EROFS):
            return OSError(f"The cache {self.cache} cannot be written ({error.strerror}). Set HF_HOME or cache_dir.")
        return self.unreachable(f"{type(error).__name__}: {error}")

    def unreachable(self, reason: str) -> ConnectionError:
        if self.is_push:
            return ConnectionError(f"{self.endpoint} did not take {self.reference.repo_id}: {reason}. Try again later.")
        return ConnectionError(
            f"{self.reference} is not in the cache {self.cache}, and {self.endpoint} cannot be asked: {reason}.\n"
            f"  Remedy 1: where there is internet, run `si-deepsort models pull {self.reference} --to FOLDER`, bring "
            "FOLDER here and give its path in place of the name.\n"
            "  Remedy 2: bring the cache of a machine that has the model here, and set HF_HOME (or cache_dir) to it."
        )

    def _explain_status(self, status: int) -> Exception:
        repo_id = self.reference.repo_id
        if status == 401:
            return ValueError(f"{self.endpoint} does not accept your token. Log in again: `hf auth login`.")
        if status == 403:
            return ValueError(f"Your token has no right to this on {repo_id}. Use one with the right (read, or write).")
        if status == 409:
            return ValueError(f"{self.endpoint} answers that this exists already in {repo_id}.")
        if status == 412:
            return ValueError(f"{repo_id} was changed by somebody else meanwhile. Try again.")
        if status == 429:
            return ConnectionError(f"{self.endpoint} asks to wait (too many requests). Log in, or try again later.")
        return self.unreachable(f"it answers with HTTP status {status}")

    def _nearest_repositories(self) -> str:
        owner = self.reference.repo_id.split("/")[0]
        names = self._ask(lambda api: [model.id for model in api.list_models(author=owner, limit=100)])
        nearest = difflib.get_close_matches(self.reference.repo_id, names, n=3, cutoff=0.5)
        return f" Did you mean {' or '.join(repr(name) for name in nearest)}?" if nearest else ""

    def _known_revisions(self) -> str:
        refs = self._ask(lambda api: [api.list_repo_refs(self.reference.repo_id)])
        names = [ref.name for found in refs for ref in (*found.tags, *found.branches)]
        return f" It has {names}." if names else ""

    def _ask(self, question: Callable) -> list:
        """A list that makes an error message better; empty if the Hub does not answer this one."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

        try:
            return question(HfApi(endpoint=self.endpoint_argument, token=self.token))
        except (HfHubHTTPError.__mro__[1], OSError, ValueError, *_WRONG_ANSWERS):
            return []


def _response_of(error: Exception):
    """The HTTP response that an error, or what caused it, tells of."""
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None and hasattr(response, "status_code"):
            return response
        error = error.__cause__
    return None
