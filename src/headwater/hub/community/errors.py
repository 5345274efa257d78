"""How acts of the community may be refused. Codes are listed in docs/errors.md."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.kernel import HeadwaterError, Kind


class DiscussionNotFound(HeadwaterError):
    code = "discussion_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self, num: object) -> None:
        super().__init__(f"There is no discussion or pull request {num!r} here.")


class CommentNotFound(HeadwaterError):
    code = "comment_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("There is no such comment in this discussion.")


class AttachmentNotFound(HeadwaterError):
    code = "attachment_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("There is no such picture, or it is not shown to you.")


class NotAnImage(HeadwaterError):
    code = "not_an_image"
    kind = Kind.UNPROCESSABLE

    def __init__(self) -> None:
        super().__init__("This is no PNG, JPEG, GIF or WebP picture. Attach other files by a commit to the repository.")


class ImageTooLarge(HeadwaterError):
    code = "image_too_large"
    kind = Kind.TOO_LARGE

    def __init__(self, most_bytes: int, measured: str = "") -> None:
        why = f"It has {measured}. " if measured else ""
        super().__init__(
            f"The picture is too large for a comment. {why}Send one of at most {most_bytes} bytes and 64 million pixels, "
            "or commit it to the repository and link to it."
        )


class TooManyPictures(HeadwaterError):
    code = "too_many_pictures"
    kind = Kind.UNPROCESSABLE

    def __init__(self, n_sent: int, most: int, remedy: str) -> None:
        super().__init__(f"These are {n_sent} pictures, and at most {most} are taken. {remedy}")


class BadTitle(HeadwaterError):
    code = "bad_title"
    kind = Kind.BAD_INPUT

    def __init__(self, least: int, most: int) -> None:
        super().__init__(f"A title is one line of {least} to {most} characters.")


class BadText(HeadwaterError):
    code = "bad_text"
    kind = Kind.BAD_INPUT


class BadField(HeadwaterError):
    """A value of a call is missing, of the wrong type, or none of those known."""

    code = "bad_field"
    kind = Kind.BAD_INPUT

    def __init__(self, field: str, expected: str) -> None:
        self.field = field
        super().__init__(f"{field!r} should be {expected}.")


class LimitReached(HeadwaterError):
    """There are as many of something as one may have."""

    code = "limit_reached"
    kind = Kind.UNPROCESSABLE

    def __init__(self, what: str, most: int, remedy: str) -> None:
        super().__init__(f"There are already {most} {what}. {remedy}")


class StatusRefused(HeadwaterError):
    """The discussion is not in a state from which that can be done."""

    code = "status_refused"
    kind = Kind.CONFLICT


class MergeConflict(HeadwaterError):
    code = "merge_conflict"
    kind = Kind.CONFLICT

    def __init__(self, num: int, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)
        shown = ", ".join(paths[:10]) + (f" and {len(paths) - 10} more" if len(paths) > 10 else "")
        super().__init__(
            f"Pull request {num} cannot be merged: both sides changed {shown}. "
            f"Merge the branch into refs/pr/{num}, settle the conflicts there, push, and merge again."
        )


class NothingToMerge(HeadwaterError):
    code = "nothing_to_merge"
    kind = Kind.CONFLICT

    def __init__(self, num: int) -> None:
        super().__init__(
            f"Pull request {num} holds no change that its branch lacks. Push commits to refs/pr/{num} first, or close it."
        )


class BranchBusy(HeadwaterError):
    """The branch moved each time a merge was tried."""

    code = "branch_busy"
    kind = Kind.CONFLICT

    def __init__(self, branch: str) -> None:
        super().__init__(f"The branch {branch!r} is being written to all the time. Merge again in a moment.")


class PullNotWritable(HeadwaterError):
    code = "pull_not_writable"
    kind = Kind.NOT_ALLOWED

    def __init__(self, num: int, why: str) -> None:
        super().__init__(f"refs/pr/{num} cannot be written to: {why}")


class CollectionNotFound(HeadwaterError):
    code = "collection_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("Collection not found. It does not exist, or you may not see it.")


class CollectionExists(HeadwaterError):
    code = "collection_exists"
    kind = Kind.CONFLICT

    def __init__(self, slug: str) -> None:
        self.slug = slug
        super().__init__(f"This namespace already has a collection of that title: {slug}")


class ItemNotFound(HeadwaterError):
    code = "item_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self, what: str = "That item") -> None:
        super().__init__(f"{what} is not here, or you may not see it.")


class ItemExists(HeadwaterError):
    code = "item_exists"
    kind = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("The collection already holds this item.")


class WebhookNotFound(HeadwaterError):
    code = "webhook_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("You have no webhook of that id. List yours with GET /api/settings/webhooks.")


class BadWebhook(HeadwaterError):
    code = "bad_webhook"
    kind = Kind.BAD_INPUT


class AddressRefused(HeadwaterError):
    """A webhook's address leads into a network that the site does not let webhooks reach."""

    code = "address_refused"
    kind = Kind.BAD_INPUT

    def __init__(self, host: str) -> None:
        super().__init__(
            f"Webhooks may not reach {host!r}: it is a private, local or reserved address. "
            "An operator can allow it with HEADWATER_WEBHOOK_ALLOW."
        )
