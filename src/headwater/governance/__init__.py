"""Judgement of openness and licences: evidence from contents, one rule a criterion, four summaries, and the lineage they stand in.

governance.install(site)                                # grades, tabs, and re-grading after each change
governance.service.get_grade(tx, actor, kind, name)     # Grade: rows, summaries, decisions
governance.grading.grade_now(site, repo_id)             # at once, for commands and tests
"""

from headwater.web.site import Site

__all__ = ["install"]


def install(site: Site) -> None:
    """Hear of changes of repositories, and add a tab and the grade to their pages and to lists."""
    from headwater import compute
    from headwater.governance.marking import grades_of
    from headwater.governance.signals import on_change, on_run_end
    from headwater.hub import events
    from headwater.hub.pages import marks

    events.on_change(on_change)
    compute.on_end("*", on_run_end)
    marks.add_tab(marks.MoreTab("openness", "openness.tab"))
    marks.add_grades(grades_of)
