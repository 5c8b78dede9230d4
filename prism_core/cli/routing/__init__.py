"""Routes on the command line: edited by options, told in words."""
