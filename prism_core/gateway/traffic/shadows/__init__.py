"""Shadows: versions that are asked too, after the answer, and never answer.

| module       | what it does                                                                |
|--------------|-----------------------------------------------------------------------------|
| `questions`  | what waits to be asked, within bounds                                       |
| `shadows`    | in each gateway process: the tap, and asking in the gaps of live traffic    |
| `pairing`    | compares the answers in a thread, and reports                               |
| `agreements` | in the leader: what all gateways have found out, kept over a restart        |
| `shown`      | that as it is shown                                                         |
"""
