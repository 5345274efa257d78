"""Discussions and pull requests as services: numbers, rights, limits, merges."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater import accounts
from headwater.hub import community
from headwater.hub.community import discussions, pulls
from headwater.hub.community.errors import (
    BadText,
    BadTitle,
    CommentNotFound,
    DiscussionNotFound,
    LimitReached,
    MergeConflict,
    NothingToMerge,
    PullNotWritable,
    StatusRefused,
)
from headwater.hub.community.models import DiscussionFilter, EventKind, Status
from headwater.hub.content import commits
from headwater.hub.content.draft import Draft, InlineFile
from headwater.hub.errors import RepositoryNotFound, RevisionNotFound
from headwater.hub.git import GitStore, push
from headwater.hub.git.packs import PackWriter
from headwater.hub.git.pktline import pkt
from headwater.hub.models import RepoKind, RepoName
from headwater.kernel import ANONYMOUS
from tests.community.conftest import NOW, World
from tests.rules.test_packs_and_refs import PushBody

MODEL = RepoKind.MODEL
RIVER = RepoName("ada", "river")


def open_discussion(world: World, actor, title="A question", body="text"):
    _, made = world.site.db.write(discussions.open_discussion, actor, MODEL, RIVER, title=title, body=body, now=NOW)
    return made


def open_pull(world: World, actor, title="A change", base=None):
    _, made = world.site.db.write(
        pulls.open_pull_request, actor, MODEL, RIVER, title=title, body="", base=base, now=NOW
    )
    return made


def detail(world: World, actor, num):
    return world.site.db.read(discussions.get_detail, actor, MODEL, RIVER, num)


def test_discussions_and_pull_requests_share_one_line_of_numbers(world: World):
    world.repo("ada/river")
    bob = world.person("bob")
    assert [open_discussion(world, bob).num, open_pull(world, bob).num, open_discussion(world, bob).num] == [1, 2, 3]


def test_a_private_repository_hides_its_discussions_from_strangers(world: World):
    world.repo("ada/river", is_private=True)
    open_discussion(world, world.person("ada"))
    for stranger in (world.person("bob"), ANONYMOUS):
        with pytest.raises(RepositoryNotFound):
            detail(world, stranger, 1)
        with pytest.raises(RepositoryNotFound):
            detail(world, stranger, 99)
        with pytest.raises(RepositoryNotFound):
            open_discussion(world, stranger)


def test_nobody_in_particular_may_read_but_not_write(world: World):
    world.repo("ada/river")
    open_discussion(world, world.person("bob"))
    assert detail(world, ANONYMOUS, 1).discussion.title == "A question"
    with pytest.raises(accounts.NotSignedIn):
        open_discussion(world, ANONYMOUS)


def test_only_the_author_edits_and_former_texts_stay(world: World):
    world.repo("ada/river")
    ada, bob = world.person("ada"), world.person("bob")
    open_discussion(world, bob, body="first")
    event = detail(world, bob, 1).events[0]
    with pytest.raises(accounts.NotAllowed):
        world.site.db.write(discussions.edit_comment, ada, MODEL, RIVER, 1, event.public_id, "mine", now=NOW)
    for text in ("second", "third"):
        world.site.db.write(
            discussions.edit_comment, bob, MODEL, RIVER, 1, event.public_id, text, now=NOW + timedelta(hours=1)
        )
    edited = detail(world, ada, 1).events[0]
    assert edited.body == "third"
    assert [edit.body for edit in edited.edits] == ["first", "second"]


def test_a_hidden_comment_shows_neither_its_text_nor_its_former_ones(world: World):
    world.repo("ada/river")
    ada, bob = world.person("ada"), world.person("bob")
    open_discussion(world, bob, body="secret one")
    event = detail(world, bob, 1).events[0]
    world.site.db.write(discussions.edit_comment, bob, MODEL, RIVER, 1, event.public_id, "secret two", now=NOW)
    with pytest.raises(accounts.NotAllowed):
        world.site.db.write(discussions.hide_comment, world.person("eve"), MODEL, RIVER, 1, event.public_id, now=NOW)
    world.site.db.write(discussions.hide_comment, ada, MODEL, RIVER, 1, event.public_id, now=NOW)
    hidden = detail(world, bob, 1).events[0]
    assert "secret" not in hidden.body
    assert hidden.edits == ()
    with pytest.raises(StatusRefused):
        world.site.db.write(discussions.edit_comment, bob, MODEL, RIVER, 1, event.public_id, "again", now=NOW)


def test_a_comment_of_another_discussion_is_not_found(world: World):
    world.repo("ada/river")
    bob = world.person("bob")
    open_discussion(world, bob)
    open_discussion(world, bob)
    event = detail(world, bob, 1).events[0]
    with pytest.raises(CommentNotFound):
        world.site.db.write(discussions.edit_comment, bob, MODEL, RIVER, 2, event.public_id, "x", now=NOW)


def test_titles_and_states_change_for_authors_and_writers_only(world: World):
    world.repo("ada/river")
    ada, bob, eve = world.person("ada"), world.person("bob"), world.person("eve")
    open_discussion(world, bob)
    with pytest.raises(accounts.NotAllowed):
        world.site.db.write(discussions.rename_discussion, eve, MODEL, RIVER, 1, "My title", now=NOW)
    world.site.db.write(discussions.rename_discussion, bob, MODEL, RIVER, 1, "Better title", now=NOW)
    world.site.db.write(discussions.change_status, ada, MODEL, RIVER, 1, "closed", comment="answered", now=NOW)
    with pytest.raises(StatusRefused):
        world.site.db.write(discussions.change_status, ada, MODEL, RIVER, 1, "closed", now=NOW)
    found = detail(world, eve, 1)
    assert found.discussion.status is Status.CLOSED
    assert [event.kind for event in found.events] == [
        EventKind.COMMENT,
        EventKind.TITLE_CHANGE,
        EventKind.COMMENT,
        EventKind.STATUS_CHANGE,
    ]


def test_lists_are_narrowed_and_counted(world: World):
    world.repo("ada/river")
    ada, bob = world.person("ada"), world.person("bob")
    open_discussion(world, ada, "About rivers")
    open_discussion(world, bob, "About 50% of lakes")
    open_pull(world, bob)
    world.site.db.write(discussions.change_status, ada, MODEL, RIVER, 1, "closed", now=NOW)

    def numbers(**wanted):
        found = world.site.db.read(discussions.list_discussions, ada, MODEL, RIVER, DiscussionFilter(**wanted))
        assert found.page.count == len(found.page.items)
        return [item.num for item in found.page.items]

    assert numbers() == [3, 2, 1]
    assert numbers(is_pull=True) == [3]
    assert numbers(is_pull=False, status="open") == [2]
    assert numbers(status="open") == [3, 2]
    assert numbers(status="closed") == [1]
    assert numbers(author="BOB") == [3, 2]
    assert numbers(author="nobody") == []
    assert numbers(search="50%") == [2]
    assert numbers(search="%") == [2]


def test_pages_count_on(world: World):
    world.repo("ada/river")
    ada = world.person("ada")
    for _ in range(5):
        open_discussion(world, ada)
    page = world.site.db.read(
        discussions.list_discussions, ada, MODEL, RIVER, DiscussionFilter(), page=1, page_size=2
    ).page
    assert ([item.num for item in page.items], page.count, page.start) == ([3, 2], 5, 2)


def test_strangers_hold_a_bounded_number_open(world: World, monkeypatch):
    monkeypatch.setattr(discussions, "MAX_LIVE_PER_STRANGER", 2)
    world.repo("ada/river")
    bob = world.person("bob")
    open_discussion(world, bob)
    open_pull(world, bob)
    with pytest.raises(LimitReached):
        open_discussion(world, bob)
    for _ in range(3):
        open_discussion(world, world.person("ada"))
    world.site.db.write(discussions.change_status, bob, MODEL, RIVER, 1, "closed", now=NOW)
    open_discussion(world, bob)


def test_texts_have_bounds(world: World):
    world.repo("ada/river")
    bob = world.person("bob")
    for title in ("", "ab", "x" * 201):
        with pytest.raises(BadTitle):
            open_discussion(world, bob, title)
    with pytest.raises(BadText):
        open_discussion(world, bob, body="x" * 70_000)
    made = open_discussion(world, bob)
    with pytest.raises(BadText):
        world.site.db.write(discussions.add_comment, bob, MODEL, RIVER, made.num, "", now=NOW)


@given(st.text())
def test_any_title_becomes_one_honest_line_or_is_refused(text: str):
    try:
        title = discussions.check_title(text)
    except BadTitle:
        return
    assert discussions.check_title(title) == title
    assert title.isprintable() or not any(c in title for c in "\n\r\t\u202e")
    assert 3 <= len(title) <= 200


@given(st.text())
def test_a_commit_line_always_makes_a_title(text: str):
    assert 3 <= len(discussions.make_title(text)) <= 200


@pytest.mark.parametrize(
    ("ref", "number"),
    [
        ("refs/pr/1", 1),
        ("refs/pr/120", 120),
        ("refs/pr/0", None),
        ("refs/pr/01", None),
        ("refs/pr/1/x", None),
        ("refs/pr/", None),
        ("refs/heads/1", None),
        ("refs/pr/9999999999", None),
    ],
)
def test_only_plain_numbers_name_pull_requests(ref, number):
    assert community.pull_number(ref) == number


def test_a_pull_request_begins_where_its_branch_stands(world: World):
    repo = world.repo("ada/river")
    made = open_pull(world, world.person("bob"))
    assert made.status is Status.DRAFT
    with world.site.part(GitStore).open(repo.id) as snap:
        assert snap.refs[made.ref] == snap.refs["refs/heads/main"] == made.start_commit
    for missing in ("nowhere", "refs/tags/v1", made.start_commit):
        with pytest.raises(RevisionNotFound):
            open_pull(world, world.person("bob"), base=missing)


def test_authors_and_writers_may_push_to_a_pull_request_while_it_is_open(world: World):
    repo = world.repo("ada/river")
    ada, bob, eve = world.person("ada"), world.person("bob"), world.person("eve")
    open_discussion(world, bob)
    made = open_pull(world, bob)

    def may(actor, num=made.num):
        return world.site.db.read(community.may_write_pull, actor, repo, num)

    assert (may(ada), may(bob), may(eve), may(ANONYMOUS)) == (True, True, False, False)
    assert not may(bob, 1)
    assert not may(bob, 99)
    world.site.db.write(discussions.change_status, bob, MODEL, RIVER, made.num, "closed", now=NOW)
    assert not may(bob)
    with pytest.raises(PullNotWritable, match="closed"):
        world.site.db.read(community.require_pull_writable, bob, repo, made.num)


def test_pushes_show_as_events_with_their_commits(world: World):
    repo = world.repo("ada/river")
    bob = world.person("bob")
    made = open_pull(world, bob)
    first = world.commit(bob, repo, made.ref, {"a.txt": b"a\n"}, "Add a")
    second = world.commit(bob, repo, made.ref, {"b.txt": b"b\n"}, "Add b")
    found = detail(world, bob, made.num)
    pushed = pulls.expand_commits(world.site, repo, found.events)
    assert [[info.oid for info in commits] for commits in pushed.values()] == [[first], [second]]
    changes = pulls.read_changes(world.site, repo, found.discussion, with_diff=True)
    assert [info.title for info in changes.commits] == ["Add b", "Add a"]
    assert {change.path for change in changes.diff.files} == {"a.txt", "b.txt"}


def test_a_merge_brings_the_changes_to_the_branch(world: World):
    repo = world.repo("ada/river")
    ada, bob = world.person("ada"), world.person("bob")
    made = open_pull(world, bob)
    head = world.commit(bob, repo, made.ref, {"a.txt": b"a\n"}, "Add a")
    main = world.commit(ada, repo, "refs/heads/main", {"b.txt": b"b\n"}, "Add b")
    with pytest.raises(StatusRefused, match="draft"):
        pulls.merge_pull_request(world.site, ada, MODEL, RIVER, made.num, now=NOW)
    world.site.db.write(discussions.change_status, bob, MODEL, RIVER, made.num, "open", now=NOW)
    with pytest.raises(accounts.NotAllowed):
        pulls.merge_pull_request(world.site, bob, MODEL, RIVER, made.num, now=NOW)
    merged = pulls.merge_pull_request(world.site, ada, MODEL, RIVER, made.num, comment="thanks", now=NOW)
    assert merged.status is Status.MERGED
    with world.site.part(GitStore).open(repo.id) as snap:
        assert snap.refs["refs/heads/main"] == merged.merge_commit
        assert snap.commit_info(merged.merge_commit).parents == (main, head)
        assert {entry.path for entry in snap.list_tree(merged.merge_commit)} >= {"a.txt", "b.txt"}
    with pytest.raises(StatusRefused):
        pulls.merge_pull_request(world.site, ada, MODEL, RIVER, made.num, now=NOW)
    with pytest.raises(StatusRefused):
        world.site.db.write(discussions.change_status, ada, MODEL, RIVER, made.num, "closed", now=NOW)
    shown = pulls.read_changes(world.site, repo, detail(world, ada, made.num).discussion, with_diff=True)
    assert [change.path for change in shown.diff.files] == ["a.txt"]
    assert [info.title for info in shown.commits] == ["Add a"]


def test_a_conflict_names_the_files_and_writes_nothing(world: World):
    repo = world.repo("ada/river")
    ada, bob = world.person("ada"), world.person("bob")
    made = open_pull(world, bob)
    world.commit(bob, repo, made.ref, {"a.txt": b"theirs\n"}, "Theirs")
    main = world.commit(ada, repo, "refs/heads/main", {"a.txt": b"ours\n"}, "Ours")
    world.site.db.write(discussions.change_status, bob, MODEL, RIVER, made.num, "open", now=NOW)
    changes = pulls.read_changes(world.site, repo, detail(world, ada, made.num).discussion, with_diff=False)
    assert changes.conflicts == ("a.txt",)
    with pytest.raises(MergeConflict, match=r"a\.txt"):
        pulls.merge_pull_request(world.site, ada, MODEL, RIVER, made.num, now=NOW)
    with world.site.part(GitStore).open(repo.id) as snap:
        assert snap.refs["refs/heads/main"] == main
    assert detail(world, ada, made.num).discussion.status is Status.OPEN


def test_an_empty_pull_request_is_not_merged(world: World):
    world.repo("ada/river")
    ada = world.person("ada")
    made = open_pull(world, ada)
    world.site.db.write(discussions.change_status, ada, MODEL, RIVER, made.num, "open", now=NOW)
    with pytest.raises(NothingToMerge):
        pulls.merge_pull_request(world.site, ada, MODEL, RIVER, made.num, now=NOW)


def test_a_branch_that_moves_under_a_merge_is_merged_again(world: World, monkeypatch):
    repo = world.repo("ada/river")
    ada, bob = world.person("ada"), world.person("bob")
    made = open_pull(world, bob)
    world.commit(bob, repo, made.ref, {"a.txt": b"a\n"}, "Add a")
    world.site.db.write(discussions.change_status, bob, MODEL, RIVER, made.num, "open", now=NOW)
    real, moved = pulls._merge_message, []

    def push_meanwhile(*args):
        if not moved:
            moved.append(world.commit(ada, repo, "refs/heads/main", {"c.txt": b"c\n"}, "Meanwhile"))
        return real(*args)

    monkeypatch.setattr(pulls, "_merge_message", push_meanwhile)
    merged = pulls.merge_pull_request(world.site, ada, MODEL, RIVER, made.num, now=NOW)
    with world.site.part(GitStore).open(repo.id) as snap:
        assert snap.commit_info(merged.merge_commit).parents[0] == moved[0]
        assert {"a.txt", "c.txt"} <= {entry.path for entry in snap.list_tree(merged.merge_commit)}


@pytest.mark.parametrize("way", ["a commit", "a push"])
def test_nothing_is_added_to_a_pull_request_that_is_merged_this_moment(world: World, monkeypatch, way: str):
    """Who adds to it was let in before the merge, and comes to the transaction after it: merged is what the merge saw."""
    repo = world.repo("ada/river")
    ada, bob = world.person("ada"), world.person("bob")
    made = open_pull(world, bob)
    head = world.commit(bob, repo, made.ref, {"a.txt": b"a\n"}, "Add a")
    world.site.db.write(discussions.change_status, bob, MODEL, RIVER, made.num, "open", now=NOW)
    module = commits if way == "a commit" else push
    real, merged = module.publish, []

    def after_a_merge(*args, **kwargs):
        if not merged:
            merged.append(pulls.merge_pull_request(world.site, ada, MODEL, RIVER, made.num, now=NOW))
        return real(*args, **kwargs)

    monkeypatch.setattr(module, "publish", after_a_merge)
    if way == "a commit":
        with pytest.raises(PullNotWritable, match="merged"):
            commits.commit_draft(
                world.site, bob, MODEL, RIVER, made.ref, Draft("late", "", None, [InlineFile("b.txt", b"b\n")])
            )
    else:
        with PackWriter(world.site.blobs.tmp) as pack:
            with world.site.part(GitStore).open(repo.id) as snap:
                tree = snap.raw_commit(head).tree
            who = b"b <b@b> 1900000000 +0000"
            text = b"tree %s\nparent %s\nauthor %s\ncommitter %s\n\nlate\n" % (tree.encode(), head.encode(), who, who)
            new, data = pack.add(1, text).hex(), pack.finish().data
        line = pkt(f"{head} {new} {made.ref}\0report-status".encode())
        report = push.receive(world.site, bob, MODEL, RIVER, PushBody(line + b"0000" + data))
        assert f"ng {made.ref}".encode() in report
        assert b"merged" in report
    assert merged
    with world.site.part(GitStore).open(repo.id) as snap:
        assert snap.refs[made.ref] == head
        assert snap.commit_info(merged[0].merge_commit).parents[1] == head


def test_a_missing_number_is_not_found(world: World):
    world.repo("ada/river")
    with pytest.raises(DiscussionNotFound):
        detail(world, world.person("ada"), 1)
