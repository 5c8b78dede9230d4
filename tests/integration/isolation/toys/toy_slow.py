"""Takes long to import: a zygote that warms it hangs."""

import time

time.sleep(600)
