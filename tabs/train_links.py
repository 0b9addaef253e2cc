"""Addresses of the Train tab's steps, and clicks within what they show."""

import json
from urllib.parse import urlencode

import gradio as gr

from core.errors import InputError
from tabs.leaderboard_runs import sent
from tabs.leaderboard_view import text_of

CLICKS = """
const acts = %s;
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-act]');
  if (button && acts.includes(button.dataset.act)) trigger(button.dataset.act, {...button.dataset});
});
const follow = () => {
  const shown = element.querySelector('[data-place]');
  if (!shown || !shown.offsetParent) return;
  const theme = new URLSearchParams(location.search).get('__theme');
  const kept = theme ? '&__theme=' + encodeURIComponent(theme) : '';
  history.replaceState(history.state, '', shown.dataset.place + kept);
};
const folds = new Map();
element.addEventListener('click', (event) => {
  const fold = event.target.closest('summary')?.parentElement;
  if (fold) folds.set([...element.querySelectorAll('details')].indexOf(fold), !fold.open);
}, true);
let held = null;
const hold = (event) => {
  const button = element.contains(event.target) && event.target.closest('button[data-act]');
  held = button ? {...button.dataset} : null;
};
document.addEventListener('focusin', hold);
document.addEventListener('pointerdown', hold);
const restore = () => {
  element.querySelectorAll('details').forEach((fold, n) => {
    if (folds.has(n)) fold.open = folds.get(n);
  });
  if (!held || document.activeElement !== document.body) return;
  const same = (button) => Object.entries(held).every(([k, v]) => button.dataset[k] === v);
  const again = [...element.querySelectorAll('button[data-act]')].find(same);
  if (again) again.focus({preventScroll: true});
};
watch('value', () => { follow(); restore(); });
new IntersectionObserver(follow).observe(element);
"""
"""The address follows the step that is seen, so that a reload opens it again. What was unfolded and
what the keyboard was on stay so when the text is replaced, which is every second for a run."""


def clicks(*acts: str) -> str:
    """Return the script of a `gr.HTML` whose buttons have `data-act`: each act is an event."""
    return CLICKS % json.dumps(acts)


def place_of(step: str, **names: str) -> str:
    """Return the address of a step, from `?` on."""
    return f"?{urlencode({'train': step, **names}, errors='replace')}"


def named(event: gr.EventData, what: str) -> str:
    """Return the name that the browser sent with a click; it has yet to be looked up.

    Raises:
        InputError: it sent none, or no text.
    """
    name = text_of(sent(event).get(what))
    if not name:
        raise InputError(f"the event names no {what}")
    return name
