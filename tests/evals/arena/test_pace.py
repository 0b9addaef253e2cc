from hypothesis import given
from hypothesis import strategies as st

from evals.arena.pace import MOST_CHARACTERS, Pace


def steps(pace, has, is_running, count):
    """Return how many characters each of so many frames adds."""
    shown = []
    for _ in range(count):
        before = pace.shown
        pace.advance(has, is_running)
        shown.append(pace.shown - before)
    return shown


def test_nothing_is_shown_before_every_running_side_has_begun():
    pace = Pace()
    assert not pace.advance([500, 0], [True, True])
    assert pace.shown == 0
    assert pace.advance([500, 7], [True, True])
    assert pace.shown == 7


def test_a_side_that_has_ended_without_a_word_holds_nobody_up():
    pace = Pace()
    assert pace.advance([0, 10], [False, True])
    assert pace.shown == 10


def test_a_full_buffer_comes_out_in_equal_frames():
    assert steps(Pace(), [1000, 1000], [True, True], 4) == [MOST_CHARACTERS] * 4


def test_the_pace_stays_when_the_slow_side_ends_first():
    pace = Pace()
    for said in range(3, 63, 3):  # The slow side has three characters a frame.
        pace.advance([said, 1000], [True, True])
    assert pace.shown == 60
    assert steps(pace, [60, 1000], [False, False], 5) == [3] * 5


def test_the_pace_is_the_same_whichever_side_was_slow():
    slow_is_short, slow_is_long = Pace(), Pace()
    seen = [], []
    for frame in range(1, 60):
        said = min(4 * frame, 80)
        slow_is_short.advance([said, 200], [said < 80, True])
        long = min(4 * frame, 200)
        slow_is_long.advance([80, long], [frame < 20, long < 200])
        seen[0].append(slow_is_short.shown)
        seen[1].append(slow_is_long.shown)
    assert seen[0] == seen[1]


def test_a_side_that_ends_at_once_does_not_slow_the_other_down():
    pace, frames = Pace(), 0
    for said in [11, *range(75, 901, 75)]:
        pace.advance([400, said], [False, said < 900])
        frames += 1
    while pace.shown < 900:
        pace.advance([400, 900], [False, False])
        frames += 1
    assert frames <= 1 + 900 // MOST_CHARACTERS


def test_a_stall_at_the_beginning_is_made_up_for():
    pace = Pace()
    steps(pace, [3, 500], [True, False], 20)
    said = [3 + 50 * frame for frame in range(1, 21)]
    for count in said:
        pace.advance([count, 500], [True, False])
    assert pace.shown > said[-1] / 4


def test_however_slow_the_pace_was_the_rest_comes():
    pace = Pace()
    pace.advance([1, 100], [True, True])
    steps(pace, [1, 100], [True, True], 50)
    assert steps(pace, [1, 100], [False, False], 3) == [1, 1, 1]


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 30), st.booleans(), st.booleans()),
        min_size=1,
        max_size=80,
    )
)
def test_it_never_runs_ahead_of_a_running_side_and_always_arrives(news):
    pace, said, running = Pace(), [0, 0], [True, True]
    for more_a, more_b, ends_a, ends_b in news:
        said = [said[0] + more_a * running[0], said[1] + more_b * running[1]]
        running = [running[0] and not ends_a, running[1] and not ends_b]
        before = pace.shown
        pace.advance(said, running)
        room = min((n for n, runs in zip(said, running, strict=True) if runs), default=max(said))
        assert before <= pace.shown <= max(before, room)
        assert pace.shown - before <= MOST_CHARACTERS
    for _ in range(max(said) + 1):
        pace.advance(said, [False, False])
    assert pace.shown >= max(said)
