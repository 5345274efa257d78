"""Every reason for which a file is not clean. Pages translate by id; docs/scanning.md lists them, and is generated from here."""

from __future__ import annotations

import hashlib

from headwater.scanning.allowed_imports import ALLOWED
from headwater.scanning.models import Rule, Verdict

_S, _R = Verdict.SUSPICIOUS, Verdict.REFUSED
_PICKLE_ADVICE = "Save the weights as safetensors, or ask the site to convert them."

PICKLE_IMPORT = Rule("pickle.import", _S, "It imports a name that is not on the list of harmless ones.", _PICKLE_ADVICE)
PICKLE_UNNAMED = Rule(
    "pickle.unnamed", _S, "It imports something whose name is worked out while it is read.", _PICKLE_ADVICE
)
PICKLE_BROKEN = Rule(
    "pickle.broken",
    _S,
    "It is named or begins like a pickle, and cannot be read as one.",
    "Save it again; a file that is no pickle wants another name.",
)
PICKLE_TRAILING = Rule(
    "pickle.trailing", _S, "Bytes that nothing explains follow the pickle.", "Save it again without them."
)
PICKLE_EXTENSION = Rule(
    "pickle.extension", _S, "It imports by a number that only its reader can resolve.", _PICKLE_ADVICE
)
PICKLE_MEMO = Rule(
    "pickle.memo",
    _S,
    "It numbers what it remembers as no pickler does, which takes its reader's memory.",
    "Save it again.",
)
PICKLE_FRAME = Rule(
    "pickle.frame",
    _S,
    "It ends within a frame, behind which some readers go on and others do not.",
    "Save it again.",
)
PICKLE_ENDLESS = Rule("pickle.endless", _S, "It is too large or too manifold to be judged.", _PICKLE_ADVICE)

_ARCHIVE_ADVICE = "Pack it again with an ordinary program, or upload the files singly."
ARCHIVE_BROKEN = Rule(
    "archive.broken", _S, "It is an archive or compressed, and cannot be read to its end.", _ARCHIVE_ADVICE
)
ARCHIVE_CLOSED = Rule(
    "archive.closed", _S, "It is encrypted, or compressed in a way that is not judged.", _ARCHIVE_ADVICE
)
ARCHIVE_DEEP = Rule(
    "archive.deep", _S, "Archives lie in archives deeper than is judged, or one of them is too large.", _ARCHIVE_ADVICE
)
ARCHIVE_HIDDEN = Rule("archive.hidden", _S, "It holds bytes that its directory does not tell of.", _ARCHIVE_ADVICE)
ARCHIVE_LIES = Rule("archive.lies", _R, "Its directory does not say what lies in it.", _ARCHIVE_ADVICE)
ARCHIVE_TRAVERSAL = Rule(
    "archive.traversal", _R, "A member's name leads out of the folder it is unpacked in.", _ARCHIVE_ADVICE
)
ARCHIVE_LINK = Rule(
    "archive.link", _R, "A member is a link that leads out of the archive, or a device.", _ARCHIVE_ADVICE
)
ARCHIVE_DUPLICATE = Rule(
    "archive.duplicate", _R, "Two members have the same name, so that readers may differ.", _ARCHIVE_ADVICE
)
ARCHIVE_BOMB = Rule("archive.bomb", _R, "It unpacks to far more than is reasonable for its size.", _ARCHIVE_ADVICE)

_WEIGHTS_ADVICE = "Write the file again with the format's own library."
WEIGHTS_HEAD = Rule("weights.head", _R, "Its head is not what the format says.", _WEIGHTS_ADVICE)
WEIGHTS_LENGTHS = Rule("weights.lengths", _R, "It claims lengths or counts that cannot be true.", _WEIGHTS_ADVICE)
WEIGHTS_OUTSIDE = Rule("weights.outside", _R, "A part of it lies outside of the file.", _WEIGHTS_ADVICE)
WEIGHTS_OVERLAP = Rule("weights.overlap", _R, "Two of its parts lie on the same bytes.", _WEIGHTS_ADVICE)
WEIGHTS_HOLE = Rule("weights.hole", _R, "Between its parts lie bytes that it does not tell of.", _WEIGHTS_ADVICE)
WEIGHTS_TRAILING = Rule("weights.trailing", _R, "Behind its parts lie bytes that it does not tell of.", _WEIGHTS_ADVICE)
WEIGHTS_UNKNOWN = Rule(
    "weights.unknown", _S, "It is of a version or holds a type that is not judged yet.", _WEIGHTS_ADVICE
)

_TEMPLATE_ADVICE = "Compare it with the base model's template; the owner can release it with a reason."
TEMPLATE_UNSAFE = Rule(
    "template.unsafe", _S, "The chat template reaches for what a template must not have.", _TEMPLATE_ADVICE
)
TEMPLATE_ENDLESS = Rule("template.endless", _S, "The chat template may work without end.", _TEMPLATE_ADVICE)
TEMPLATE_TRIGGER = Rule(
    "template.trigger",
    _S,
    "The chat template behaves differently when a message holds a certain word.",
    _TEMPLATE_ADVICE,
)
TEMPLATE_UNREAD = Rule("template.unread", _S, "The chat template cannot be read.", _TEMPLATE_ADVICE)

_KERAS_ADVICE = "Build the layer from a named function of Keras, or save the weights alone."
KERAS_LAMBDA = Rule("keras.lambda", _S, "The model carries code in a Lambda layer.", _KERAS_ADVICE)
KERAS_MODULE = Rule("keras.module", _S, "The model names a class of a module that is not Keras's own.", _KERAS_ADVICE)
_JSON_ADVICE = "Write it again with an ordinary library."
JSON_UNREAD = Rule("json.unread", _S, "Its JSON cannot be read.", _JSON_ADVICE)
JSON_DEEP = Rule("json.deep", _S, "Its JSON is nested without bound.", _JSON_ADVICE)
WEIGHTS_LINK = Rule("weights.link", _R, "It keeps data in a file outside of the repository.", _WEIGHTS_ADVICE)
JSON_DOUBLE = Rule("json.double", _S, "A key stands twice in one object, so that readers may differ.", _JSON_ADVICE)
CONFIG_REMOTE = Rule(
    "config.remote",
    _S,
    "It loads code from another repository, at whatever that holds by then.",
    "Copy the code into this repository, and name it without '--'.",
)
RESULTS_NUMBER = Rule(
    "results.number",
    _R,
    "Results hold NaN or an infinite number, which is no JSON and no result.",
    "Leave the value out, or write null.",
)
RESULTS_DOUBLE = Rule(
    "results.double", _R, "A key stands twice in one object of the results, so that readers may differ.", _JSON_ADVICE
)
RESULTS_DEEP = Rule("results.deep", _R, "The results are nested without bound.", _JSON_ADVICE)
CARD_UNREAD = Rule(
    "card.unread",
    _R,
    "The card's front matter cannot be read as plain YAML.",
    "Correct the lines between the dashes at the top of README.md.",
)
CARD_ITSELF = Rule(
    "card.itself",
    _R,
    "The card names the repository itself as its base model.",
    "Name the model it was made from, or leave base_model out.",
)
IMAGE_BOMB = Rule(
    "image.bomb", _R, "The picture claims a size that its few bytes do not hold.", "Save it smaller, or uncompressed."
)
NAME_DECEPTIVE = Rule(
    "name.deceptive",
    _S,
    "Its name holds characters that hide or turn around what is read.",
    "Give it a name of plain letters.",
)
NOT_JUDGED = Rule(
    "gate.not-judged",
    _S,
    "The judge failed, or needed more time or memory than it may have.",
    "Ask the site's administrators; the owner can release it with a reason.",
)

ALL: dict[str, Rule] = {rule.id: rule for rule in list(globals().values()) if isinstance(rule, Rule)}
_JUDGES = 7  # raised by hand when a judge sees the same bytes otherwise though no rule has changed


def _version() -> str:
    told = [f"{_JUDGES}", *sorted(f"{rule.id} {rule.version} {rule.verdict.name}" for rule in ALL.values())]
    told += sorted(f"{module}.{name}" for module, names in ALLOWED.items() for name in names)
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


RULES_VERSION = _version()  # of all rules together: a judgement made under another one is out of date
