"""Real requests in files, to be replayed: written beside the requests, read by the leading gateway.

| module     | what it holds                                                                  |
|------------|--------------------------------------------------------------------------------|
| `exchange` | one request as it is kept, and blocks of them as bytes                         |
| `segments` | the files: written by one process each, found and bounded by any               |
| `recorder` | takes requests after their answers, redacts and writes them in a thread        |
| `reading`  | reads what is there in the order in which it came, and says what it is         |
| `shelf`    | lists, deletes and bounds the recordings of all models, in the leading gateway |
"""
