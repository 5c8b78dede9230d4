"""Two answers to the same request, side by side; and what many such pairs add up to. Pure.

| module                   | what it holds                                                    |
|--------------------------|------------------------------------------------------------------|
| `answers`                | an answer, and its body read as columns of rows                  |
| `tensors`                | how PRISM's tensors are read                                     |
| `inference`, `message`   | how the Open Inference Protocol is, over HTTP and over gRPC      |
| `values`                 | whether two values agree: labels, numbers, probabilities         |
| `difference`             | `compare`: one pair, row by row                                  |
| `distribution`           | summaries of an output's values, which add up                    |
| `agreement`              | the running summary of many pairs                                |
| `wording`                | what differs most, in plain words                                |
"""

from prism_core.traffic.comparing.agreement import Agreement, Example
from prism_core.traffic.comparing.answers import Answer
from prism_core.traffic.comparing.difference import Difference, compare
from prism_core.traffic.comparing.values import Tolerance

__all__ = ["Agreement", "Answer", "Difference", "Example", "Tolerance", "compare"]
