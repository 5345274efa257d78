"""How acts on uploads in parts may be refused."""

from headwater.kernel import HeadwaterError, Kind


class UploadNotFound(HeadwaterError):
    code = "upload_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("There is no such upload of yours; it was committed, given up or too old. Begin it again.")


class OffsetDiffers(HeadwaterError):
    """A part that does not begin where the file ends so far; ``Upload-Offset`` says where that is."""

    code = "offset_differs"
    kind = Kind.CONFLICT

    def __init__(self, received: int, given: int) -> None:
        super().__init__(
            f"{received} bytes of this file are here, so the next part begins there, not at {given}.",
            headers={"Upload-Offset": str(received)},
        )


class UploadBusy(HeadwaterError):
    code = "upload_busy"
    kind = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("Another part of this file is being received just now. Wait for it, then ask how far it is.")


class PartTooLong(HeadwaterError):
    code = "part_too_long"
    kind = Kind.BAD_INPUT

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"The file was announced with {size_bytes} bytes, and more came. Begin the upload again.")


class UploadIncomplete(HeadwaterError):
    code = "upload_incomplete"
    kind = Kind.CONFLICT

    def __init__(self, path: str, received: int, size_bytes: int) -> None:
        super().__init__(f"{path!r} is not whole yet: {received} of {size_bytes} bytes are here. Send the rest first.")


class TooManyUploads(HeadwaterError):
    code = "too_many_uploads"
    kind = Kind.TOO_MANY

    def __init__(self, limit: int) -> None:
        super().__init__(f"You have {limit} files on their way already. Commit or give up some of them first.")


class BadUpload(HeadwaterError):
    code = "bad_upload"
    kind = Kind.BAD_INPUT

    def __init__(self, why: str) -> None:
        super().__init__(f"This upload cannot be taken: {why}.")


class FormTooLarge(HeadwaterError):
    code = "form_too_large"
    kind = Kind.TOO_LARGE

    def __init__(self, why: str) -> None:
        super().__init__(f"This form is too large: {why}.")
