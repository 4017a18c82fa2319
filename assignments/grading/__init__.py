"""Grade a folder of submissions: student code runs in one process, tests and scores live in another.

`wire` says what may pass between the two, `meter` how time is counted. On the student's side, `nursery` makes a process
a submission, `seal` locks it, `child` runs it and `habits` bears with it. On ours, `isolation` and `sandbox` start and
watch it, `proxy` stands in for its names, `phrases` says what is said of it. `reading`, `submission` and `batch` grade
one notebook and a folder of them; `results` keeps what was found, `marks` says what counts. `roster`, `platforms`,
`report` and `items` read and write what people see; `similarity` compares submissions with each other.
"""
