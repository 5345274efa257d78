"""Pure judgement of strangers' bytes: is this file what it says, and may it be opened without running what it holds?

scanning.judge("model.pt", source)         # Judgement: verdict, findings, imports, kinds
scanning.judge_apart("model.pt", source)   # the same, in a child with limits
scanning.role_of("a/model.pt")             # "pickle": the class of names that are judged alike
scanning.find_secrets(data)                # [Secret(kind, line, start, end)]

Nothing is loaded, rendered or unpacked to disk; every parser here is bounded. A parse error is never *clean*.
"""

from headwater.scanning.apart import judge_apart
from headwater.scanning.confined import Limits
from headwater.scanning.judging import judge
from headwater.scanning.models import Finding, Import, Judgement, Rule, Verdict, together
from headwater.scanning.reading import Bytes, Memory, Opened, Window
from headwater.scanning.records import of_record, to_record
from headwater.scanning.roles import role_of
from headwater.scanning.rules import ALL as ALL_RULES
from headwater.scanning.rules import RULES_VERSION
from headwater.scanning.second import second_opinion
from headwater.scanning.secrets import OWN_KIND, Secret
from headwater.scanning.secrets import find as find_secrets
from headwater.scanning.texts import iter_templates, names_itself

__all__ = [
    "ALL_RULES",
    "OWN_KIND",
    "RULES_VERSION",
    "Bytes",
    "Finding",
    "Import",
    "Judgement",
    "Limits",
    "Memory",
    "Opened",
    "Rule",
    "Secret",
    "Verdict",
    "Window",
    "find_secrets",
    "iter_templates",
    "judge",
    "judge_apart",
    "names_itself",
    "of_record",
    "role_of",
    "second_opinion",
    "to_record",
    "together",
]
