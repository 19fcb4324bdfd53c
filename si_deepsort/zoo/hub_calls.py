"""Calls to the Hub's client: a bounded number of tries, and errors that say what to do."""

import difflib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .names import HubReference

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Seconds between tries; a server that is restarted, or asks for patience, usually answers within a few seconds.
RETRY_SECONDS = (0.5, 1.0, 2.0)
# Seconds that a server can make us wait by `Retry-After`.
LONGEST_WAIT_S = 10.0
# Seconds without an answer after which a question to the Hub fails.
REQUEST_TIMEOUT_S = 10.0
# HTTP: too many requests; errors of servers and gateways that pass.
_PASSING_TROUBLE = (429, 500, 502, 503, 504)
# What the client raises when an answer is not what it expects, such as the login page of a guest network.
_WRONG_ANSWERS = (json.JSONDecodeError, KeyError, TypeError, AttributeError, AssertionError)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class HubPlace:
    """
    Where models come from and where they are kept.

    Attributes
    ----------
    cache_dir : str | Path | None
        Cache of the Hub's client; None takes `HF_HOME`.
    token : str | bool | None
        Login; None takes what `hf auth login` stored, False none.
    endpoint_argument : str | None
        Address of the Hub; None takes `HF_ENDPOINT`.
    """

    cache_dir: str | Path | None = None
    token: str | bool | None = field(default=None, repr=False)
    endpoint_argument: str | None = None

    @property
    def cache(self) -> Path:
        """Folder of the cache."""
        from huggingface_hub import constants

        return Path(self.cache_dir or constants.HF_HUB_CACHE).expanduser()

    @property
    def endpoint(self) -> str:
        """Address of the Hub."""
        from huggingface_hub import constants

        return self.endpoint_argument or constants.ENDPOINT

    def api(self) -> "HfApi":
        """The Hub's client."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, token=self.token)


def call_hub(
    call: Callable[[], _Answer],
    reference: HubReference,
    place: HubPlace,
    *,
    is_push: bool = False,
    repeats_broken: bool = False,
) -> _Answer:
    """
    Result of `call()`; 429 and 5xx are tried again, other errors are explained to the user.

    Parameters
    ----------
    call : callable
        Asks the Hub.
    reference : HubReference
        What it asks for.
    place : HubPlace
    is_push : bool, default: False
        Whether a model is published, so that the advice is not about fetching it.
    repeats_broken : bool, default: False
        Whether a connection that breaks is tried again too.

    Raises
    ------
    ValueError
        If the Hub answers that there is no such thing, or that this user may not have it.
    ConnectionError
        If it does not answer, or not as a Hub does.
    """
    from huggingface_hub.errors import HfHubHTTPError

    explanation = _Explanation(reference, place, is_push)
    # The base of HfHubHTTPError is the HTTP library's own error; which library differs between versions of the client.
    network_error: type[Exception] = HfHubHTTPError.__mro__[1]
    for wait_s in (*RETRY_SECONDS, None):
        try:
            return call()
        except (network_error, ConnectionError, TimeoutError) as error:
            response = _response_of(error)
            passes = repeats_broken if response is None else response.status_code in _PASSING_TROUBLE
            if wait_s is None or not passes:
                raise explanation.of(error) from error
            asked_s = "" if response is None else response.headers.get("Retry-After", "")
            time.sleep(min(float(asked_s) if asked_s.isdigit() else wait_s, LONGEST_WAIT_S))
        except _WRONG_ANSWERS as error:
            raise explanation.unreachable(f"it answered what no Hub answers: {type(error).__name__} {error}") from error
    raise AssertionError("the last try returns or raises")


def unreachable_error(reference: HubReference, reason: str, place: HubPlace) -> ConnectionError:
    """The error for a model that is neither in the cache nor within reach, with both remedies."""
    return _Explanation(reference, place).unreachable(reason)


class _Explanation:
    """Explains why a model was not found where it was looked for."""

    def __init__(self, reference: HubReference, place: HubPlace, is_push: bool = False):
        self.reference, self.place, self.is_push = reference, place, is_push
        self.endpoint = place.endpoint

    def of(self, error: Exception) -> Exception:
        """The error that tells a user what to do about a failed call."""
        from huggingface_hub import errors

        reference, repo_id = self.reference, self.reference.repo_id
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
        return self.unreachable(f"{type(error).__name__}: {error}")

    def unreachable(self, reason: str) -> ConnectionError:
        """The error for a Hub that cannot be asked, with what to do."""
        if self.is_push:
            return ConnectionError(f"{self.endpoint} did not take {self.reference.repo_id}: {reason}. Try again later.")
        return ConnectionError(
            f"{self.reference} is not in the cache {self.place.cache}, and {self.endpoint} cannot be asked: {reason}.\n"
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

    def _ask(self, question: "Callable[[HfApi], list]") -> list:
        """Ask the Hub for a list that an error message shows; empty if it does not answer."""
        from huggingface_hub.errors import HfHubHTTPError

        network_error: type[Exception] = HfHubHTTPError.__mro__[1]
        try:
            return question(self.place.api())
        except (network_error, OSError, ValueError, *_WRONG_ANSWERS):
            return []


def _response_of(error: BaseException | None) -> Any:
    """The HTTP response that an error, or what caused it, tells of."""
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None and hasattr(response, "status_code"):
            return response
        error = error.__cause__
    return None
