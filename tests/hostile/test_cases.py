"""The cases themselves: the same each time, of every kind, and those that should be right are."""

from __future__ import annotations

import json
import random

import pytest
from google.protobuf.message import DecodeError

from prism_oip.rpc import oip_pb2
from tests.hostile import messages, requests
from tests.hostile.drafts import HEADER, good


@pytest.mark.parametrize("cases", [requests, messages])
def test_a_case_is_the_same_each_time_without_those_before_it(cases):
    again = [str(cases.case(3, number)) for number in (90, 7)]

    assert again == [str(cases.case(3, number)) for number in (90, 7)]
    assert str(cases.case(4, 7)) not in again


@pytest.mark.parametrize(("cases", "count"), [(requests, 3000), (messages, 1000)])
def test_every_kind_comes(cases, count):
    assert {cases.case(1, number).kind for number in range(count)} == {
        kind for kind, weight in cases.WEIGHTS.items() if weight
    }


def test_good_requests_are_right():
    for number in range(50):
        draft = good(random.Random(number))
        body = draft.written()
        length = int(draft.said(HEADER) or len(body))

        told = json.loads(body[:length])["inputs"]
        sizes = [one["parameters"]["binary_data_size"] for one in told if "data" not in one]
        assert sum(sizes) == len(body) - length


def test_good_messages_are_what_the_library_reads_and_writes():
    for number in range(50):
        draft = messages.good(random.Random(number))
        request = oip_pb2.ModelInferRequest.FromString(draft.written())

        assert request.model_name == draft.model
        assert len(request.inputs) == len(draft.inputs)
        assert list(request.raw_input_contents) == draft.raws


def test_a_message_that_ends_in_a_field_is_one_that_the_library_refuses_too():
    cut = [messages.case(1, number) for number in range(800)]
    cut = [case for case in cut if case.kind == "cut" and case.wrong]

    for case in cut:
        with pytest.raises(DecodeError):
            oip_pb2.ModelInferRequest.FromString(case.data)
    assert cut
