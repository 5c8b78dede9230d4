"""What people see in a browser: the page of a model, with a form to try it.

Everything is in the page itself: one style and one script, both ours, whose hashes are all that
its Content-Security-Policy lets in. Without the script, the form still answers for one row.
"""
