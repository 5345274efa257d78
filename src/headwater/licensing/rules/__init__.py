"""The rules along a lineage: one file each, with the reason, the day it applies from, and cases on both sides."""

from collections.abc import Sequence

from headwater.licensing.rules import (
    credit_is_shown,
    data_conditions_are_unsettled,
    derivatives_may_be_shared,
    licence_is_known,
    licence_text_lies_beside,
    lineage_has_no_circle,
    name_begins_as_asked,
    notices_are_kept,
    outputs_may_train,
    restrictions_are_passed_on,
    share_alike_is_kept,
    share_alikes_agree,
)
from headwater.licensing.ruling import Rule

ALL: Sequence[Rule] = (
    restrictions_are_passed_on.RULE,
    share_alike_is_kept.RULE,
    share_alikes_agree.RULE,
    derivatives_may_be_shared.RULE,
    name_begins_as_asked.RULE,
    licence_text_lies_beside.RULE,
    credit_is_shown.RULE,
    notices_are_kept.RULE,
    data_conditions_are_unsettled.RULE,
    outputs_may_train.RULE,
    licence_is_known.RULE,
    lineage_has_no_circle.RULE,
)
