"""Files that come from a browser: in parts that can be resumed, as a plain form, or typed into an editor."""

from headwater.hub.uploads.commit import Message, Taken, commit_text, commit_uploads, delete_path
from headwater.hub.uploads.errors import BadUpload, FormTooLarge, OffsetDiffers, UploadIncomplete, UploadNotFound
from headwater.hub.uploads.forms import SentFile, SentForm, read_form
from headwater.hub.uploads.service import (
    SEND_AGAIN,
    Announced,
    Progress,
    adopt_files,
    append,
    begin,
    collect,
    get_progress,
    give_up,
    list_open,
    new_part,
    sent_again,
)

__all__ = [
    "SEND_AGAIN",
    "Announced",
    "BadUpload",
    "FormTooLarge",
    "Message",
    "OffsetDiffers",
    "Progress",
    "SentFile",
    "SentForm",
    "Taken",
    "UploadIncomplete",
    "UploadNotFound",
    "adopt_files",
    "append",
    "begin",
    "collect",
    "commit_text",
    "commit_uploads",
    "delete_path",
    "get_progress",
    "give_up",
    "list_open",
    "new_part",
    "read_form",
    "sent_again",
]
