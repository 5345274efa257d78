"""How acts on large files may be refused."""

from headwater.kernel import HeadwaterError, Kind


class LargeFileNotFound(HeadwaterError):
    """Not here, or here without a right of this repository: the same answer."""

    code = "large_file_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self, sha256: str) -> None:
        super().__init__(f"The large file {sha256} is not stored in this repository.")


class DeclaredSizeDiffers(HeadwaterError):
    """A pointer or commit states another size than the stored bytes have."""

    code = "declared_size_differs"
    kind = Kind.BAD_INPUT

    def __init__(self, sha256: str, declared: int, stored: int) -> None:
        super().__init__(
            f"The large file {sha256} has {stored} bytes, not {declared} as declared. Commit its real size."
        )


class BadDigest(HeadwaterError):
    code = "bad_digest"
    kind = Kind.BAD_INPUT

    def __init__(self, digest: str) -> None:
        super().__init__(f"{digest[:100]!r} is not a sha256: 64 lower-case hex digits are expected.")
