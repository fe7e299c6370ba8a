"""What waits for a broker: bounded, in order, and no message is lost untold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_ecg.sinks.mqtt_outbox import Loss, Message, Outbox

GAP = "gap"


def outbox(most: int = 10) -> Outbox:
    return Outbox(lambda loss: Message(GAP, b"", loss=loss), most)


def message(n: int, *, beat: bool = True) -> Message:
    return Message("beats", b"%d" % n, utc=f"{n:06}", beat=beat)


def shown(topic: str, payload: bytes, *, retain: bool = True) -> Message:
    return Message(topic, payload, retain=retain, shown=True)


def taken(box: Outbox) -> list[Message]:
    got = []
    while (one := box.take()) is not None:
        got.append(one)
    return got


def test_what_is_full_loses_the_oldest_and_tells_so_in_front_of_the_rest() -> None:
    box = outbox(10)
    for n in range(25):
        box.put(message(n, beat=n % 2 == 0))
    gap, *rest = taken(box)
    assert gap.loss == Loss(16, 8, "000000", "000015")
    assert rest == [message(n, beat=n % 2 == 0) for n in range(16, 25)]
    assert box.n_lost == 16
    assert box.take() is None


def test_what_was_not_confirmed_comes_again_in_its_order() -> None:
    box = outbox()
    for n in range(5):
        box.put(message(n))
    flying = [box.take(), box.take(), box.take()]
    box.put(message(5))
    box.give_back([m for m in flying if m])
    assert taken(box) == [message(n) for n in range(6)]


def test_a_gap_that_was_not_confirmed_grows() -> None:
    box = outbox(2)
    for n in range(4):
        box.put(message(n))
    gap = box.take()
    assert gap
    assert gap.loss == Loss(2, 2, "000000", "000001")
    for n in range(4, 6):
        box.put(message(n))
    box.give_back([gap])
    assert [one.loss for one in taken(box)] == [Loss(4, 4, "000000", "000003"), None, None]


def test_a_loss_of_unknown_time() -> None:
    assert Loss(1) + Loss(2, 1, "5", "7") + Loss(1, 0, None, None) == Loss(4, 1, "5", "7")


def test_only_the_newest_of_what_is_shown_matters() -> None:
    box = outbox()
    for value in (b"1", b"2"):
        box.show(shown("state", value))
        box.show(shown("rate", value, retain=False))
    box.put(message(1))
    assert taken(box) == [shown("state", b"2"), shown("rate", b"2", retain=False), message(1)]
    assert not taken(box)
    box.show(shown("rate", b"3", retain=False))
    box.begin()
    assert taken(box) == [shown("state", b"2")], "a new connection gets what is kept, not what is old"
    box.show(shown("state", b"4"))
    box.give_back([shown("state", b"2")])
    assert taken(box) == [shown("state", b"4")]


@given(
    st.integers(1, 30),
    st.lists(st.tuples(st.sampled_from(("put", "send", "fly", "break")), st.integers(1, 40)), max_size=40),
)
def test_each_message_arrives_in_order_or_is_told_as_lost(most: int, script: list[tuple[str, int]]) -> None:
    box, n_put = outbox(most), 0
    arrived: list[Message] = []
    flying: list[Message] = []
    for what, times in script:
        for _ in range(times):
            if what == "put":
                box.put(message(n_put))
                n_put += 1
            elif what == "fly" and (one := box.take()) is not None:
                flying.append(one)
        if what == "send":
            arrived += flying
            flying = []
        elif what == "break":
            box.give_back(flying)
            flying = []
    arrived += [*flying, *taken(box)]
    beats = [int(one.payload) for one in arrived if one.loss is None]
    told = sum((one.loss for one in arrived if one.loss is not None), Loss())
    assert beats == sorted(set(beats))
    assert len(beats) + told.n_messages == n_put
    assert told.n_messages == told.n_beats == box.n_lost
    missing = sorted(set(range(n_put)) - set(beats))
    assert (told.from_utc, told.to_utc) == ((f"{missing[0]:06}", f"{missing[-1]:06}") if missing else (None, None))
