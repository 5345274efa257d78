"""How a conversion may be refused at once."""

from headwater.kernel import HeadwaterError, Kind


class NothingToConvert(HeadwaterError):
    code = "nothing_to_convert"
    kind = Kind.BAD_INPUT

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path!r} is no torch file on the default branch (.bin, .pt, .pth or .ckpt). Choose one that is."
        )
