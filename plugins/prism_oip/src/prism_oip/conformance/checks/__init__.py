"""The checks: a module for each group, in each a function for each clause."""
