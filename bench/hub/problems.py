"""The Hub's refusals (HUB-PROTOCOL §3): status, `X-Error-Code`, `X-Error-Message` and the same text as JSON."""

from .messages import Answer, json_answer
from .repo import Repo
from .world import Caller


class Problem(Exception):
    """A refusal on its way to the caller."""

    def __init__(self, status: int, message: str, *, code: str = "", commit: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.commit = commit
        self.challenge = 'Bearer realm="Authentication required", charset="UTF-8"'

    def answer(self) -> Answer:
        headers = {"x-error-message": self.message}
        if self.code:
            headers["x-error-code"] = self.code
        if self.commit:
            headers["x-repo-commit"] = self.commit
        if self.status == 401:
            headers["www-authenticate"] = self.challenge
        return json_answer({"error": self.message}, status=self.status, headers=headers)


def bad_token() -> Problem:
    return Problem(401, "Invalid credentials in Authorization header")


def not_logged_in() -> Problem:
    return Problem(401, "Invalid username or password.")


def no_such_repo(caller: Caller) -> Problem:
    """A missing repo and a private one of others look alike."""
    if caller.is_anonymous:
        return Problem(401, "Invalid username or password.", code="RepoNotFound")
    return Problem(404, "Repository not found", code="RepoNotFound")


def gated(caller: Caller, repo: Repo) -> Problem:
    restricted = f"Access to {repo.kind.singular} {repo.id} is restricted"
    if caller.is_anonymous:
        message = f"{restricted}. You must have access to it and be authenticated to access it. Please log in."
        return Problem(401, message, code="GatedRepo")
    message = f"{restricted} and you are not in the authorized list. Ask for access on its page."
    return Problem(403, message, code="GatedRepo")


def disabled() -> Problem:
    return Problem(403, "Access to this resource is disabled.")


def no_such_revision(revision: str) -> Problem:
    return Problem(404, _header_safe(f"Invalid rev id: {revision}"), code="RevisionNotFound")


def no_such_entry(commit: str) -> Problem:
    return Problem(404, "Entry not found", code="EntryNotFound", commit=commit)


def no_such_page() -> Problem:
    return Problem(404, "Sorry, we can't find the page you are looking for.")


def no_such_tag(tag: str) -> Problem:
    return Problem(404, _header_safe(f"The specified tag is not available in the repository: {tag}"))


def no_such_blob() -> Problem:
    return Problem(404, "blob unknown to registry")


def bad_request(message: str) -> Problem:
    return Problem(400, _header_safe(message))


def wrong_method(method: str) -> Problem:
    return Problem(405, _header_safe(f"{method} is not supported by the synthetic Hub"))


def _header_safe(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode().replace("\r", " ").replace("\n", " ")
