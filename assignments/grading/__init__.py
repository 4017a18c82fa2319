"""Grade a folder of submissions: student code runs in one process, tests and scores live in another.

`wire` says what may pass between the two; `seal` and `child` are the student's side; `sandbox` and `proxy` ours;
`submission` grades one notebook, `batch` a folder of them, `roster` and `report` read and write the tables,
`similarity` compares submissions with each other.
"""
