"""The protocol's REST routes: predictions as a dialect, everything else as applications under ``/v2``."""
