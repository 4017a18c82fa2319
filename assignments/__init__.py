"""The course: eight assignments, their release, and a grader that student code cannot reach.

`assignments.author` turns a draft into a master, `assignments.release` turns masters into what students and graders
get, `assignments.grading` grades a folder of submissions. README.md is the instructor's guide, AUTHORING.md says how a
master is written.
"""
