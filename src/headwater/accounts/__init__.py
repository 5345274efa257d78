"""People, organisations, tokens, grants: who may do what."""

from headwater.accounts.errors import (
    AccessAlreadyHandled,
    AccessRequestNotFound,
    AccountNameTaken,
    AccountNotFound,
    BadAccountName,
    BadCredential,
    BadTokenRequest,
    Disabled,
    GateClosed,
    Hidden,
    LastAdmin,
    NotAllowed,
    NotAnOrganisation,
    NotAPerson,
    NotGated,
    NotSignedIn,
    ProofNeeded,
    TokenNotFound,
)
from headwater.accounts.identity import Identity, ensure_identity, find_identity
from headwater.accounts.models import (
    AccessRequest,
    Account,
    AccountKind,
    Action,
    Member,
    Namespace,
    Resource,
    Role,
    SignUpPolicy,
    TokenInfo,
)
from headwater.accounts.names import RESERVED, check_account_name, check_letters, name_key
from headwater.accounts.rights import Visibility, allows, may_infer, readable_owner_ids, require, visible
from headwater.accounts.service.freshness import require_fresh
from headwater.accounts.service.gates import (
    find_request,
    grant_access,
    handle_request,
    list_own_requests,
    list_requests,
    request_access,
    withdraw_request,
)
from headwater.accounts.service.identify import still_stands
from headwater.accounts.service.leaked import end_leaked_token
from headwater.accounts.service.links import ensure_first_admin_link
from headwater.accounts.service.lookup import (
    find_account,
    find_by_prefix,
    get_account,
    get_accounts,
    get_organisation,
    get_person,
    get_self,
    namespace_resource,
    namespaces_of,
    organisations_of,
)
from headwater.accounts.service.organisations import (
    count_members,
    create_organisation,
    find_role,
    list_members,
    remove_member,
    set_role,
)
from headwater.accounts.service.people import create_person, reinstate, suspend, update_profile
from headwater.accounts.service.policy import set_sign_up_policy, sign_up_policy
from headwater.accounts.service.second import list_unreadable as list_unreadable_factors
from headwater.accounts.service.tokens import (
    NewToken,
    create_run_token,
    create_token,
    end_run_token,
    list_tokens,
    passing_token,
    revoke_token,
    set_run_grants,
)
from headwater.accounts.settings import OidcSettings
from headwater.web import Site


def install(site: Site) -> None:
    """Give the site what this context keeps in memory."""
    from headwater.accounts import door

    door.install(site)


__all__ = [
    "RESERVED",
    "AccessAlreadyHandled",
    "AccessRequest",
    "AccessRequestNotFound",
    "Account",
    "AccountKind",
    "AccountNameTaken",
    "AccountNotFound",
    "Action",
    "BadAccountName",
    "BadCredential",
    "BadTokenRequest",
    "Disabled",
    "GateClosed",
    "Hidden",
    "Identity",
    "LastAdmin",
    "Member",
    "Namespace",
    "NewToken",
    "NotAPerson",
    "NotAllowed",
    "NotAnOrganisation",
    "NotGated",
    "NotSignedIn",
    "OidcSettings",
    "ProofNeeded",
    "Resource",
    "Role",
    "SignUpPolicy",
    "TokenInfo",
    "TokenNotFound",
    "Visibility",
    "allows",
    "check_account_name",
    "check_letters",
    "count_members",
    "create_organisation",
    "create_person",
    "create_run_token",
    "create_token",
    "end_leaked_token",
    "end_run_token",
    "ensure_first_admin_link",
    "ensure_identity",
    "find_account",
    "find_by_prefix",
    "find_identity",
    "find_request",
    "find_role",
    "get_account",
    "get_accounts",
    "get_organisation",
    "get_person",
    "get_self",
    "grant_access",
    "handle_request",
    "install",
    "list_members",
    "list_own_requests",
    "list_requests",
    "list_tokens",
    "list_unreadable_factors",
    "may_infer",
    "name_key",
    "namespace_resource",
    "namespaces_of",
    "organisations_of",
    "passing_token",
    "readable_owner_ids",
    "reinstate",
    "remove_member",
    "request_access",
    "require",
    "require_fresh",
    "revoke_token",
    "set_role",
    "set_run_grants",
    "set_sign_up_policy",
    "sign_up_policy",
    "still_stands",
    "suspend",
    "update_profile",
    "visible",
    "withdraw_request",
]
