"""Grouping by link is stable and complete."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmix.kernels.grouping import by_link


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    n_slots=st.integers(1, 200),
    names=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=12, unique=True),
)
def test_groups_are_stable_complete_and_in_order_of_first_packet(data, n_slots, names):
    link = np.array(data.draw(st.lists(st.sampled_from(names), min_size=n_slots, max_size=n_slots)), dtype=np.uint16)
    slots = np.array(data.draw(st.permutations(range(n_slots))), dtype=np.uint32)[: data.draw(st.integers(0, n_slots))]
    order, links, starts = by_link(slots, link)
    expected: dict[int, list[int]] = {}
    for slot in slots.tolist():
        expected.setdefault(int(link[slot]), []).append(slot)
    assert links.tolist() == list(expected)
    assert starts.tolist() == [0, *np.cumsum([len(group) for group in expected.values()]).tolist()]
    assert order.tolist() == [slot for group in expected.values() for slot in group]


def test_a_second_call_sees_nothing_of_the_first():
    link = np.array([5, 5, 9], dtype=np.uint16)
    by_link(np.array([0, 1, 2], dtype=np.uint32), link)
    order, links, starts = by_link(np.array([2], dtype=np.uint32), link)
    assert (order.tolist(), links.tolist(), starts.tolist()) == ([2], [9], [0, 1])
    order, links, starts = by_link(np.array([], dtype=np.uint32), link)
    assert (len(order), len(links), starts.tolist()) == (0, 0, [0])
