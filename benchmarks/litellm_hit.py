"""LiteLLM's hit in its in-memory cache; runs in an environment that has LiteLLM, and only there.

Reads `{"base_url", "messages", "rounds"}` from standard input, prints its figures as JSON. A run
whose answers are not hits fails, and so does one whose cache never fills.
"""

import json
import statistics
import sys
import time
from importlib.metadata import version
from typing import Any

TRIES = 20
"""Calls after which the cache must be filled."""


def main() -> None:
    """Measure and print."""
    asked = json.load(sys.stdin)
    began = time.perf_counter()
    import litellm
    from litellm.caching.caching import Cache

    import_s = time.perf_counter() - began
    litellm.suppress_debug_info = True
    # By default it caches no conversation of more than four messages.
    litellm.cache = Cache(type="local", max_messages=None)

    def call() -> Any:
        return litellm.completion(
            model="openai/gpt-4o-mini",
            messages=asked["messages"],
            api_base=asked["base_url"],
            api_key="none",
            temperature=0,
            caching=True,
        )

    for _ in range(TRIES):
        if call()._hidden_params.get("cache_hit"):
            break
        time.sleep(0.1)  # it fills its cache in a thread
    spans, began_cpu = [], time.process_time()
    for _ in range(asked["rounds"]):
        began = time.perf_counter()
        answer = call()
        spans.append(time.perf_counter() - began)
        if not answer._hidden_params.get("cache_hit"):
            raise RuntimeError("LiteLLM did not answer from its cache")
    cpu_s = time.process_time() - began_cpu
    figures = {
        "version": version("litellm"),
        "import_s": import_s,
        "p50_us": statistics.median(spans) * 1e6,
        "p99_us": statistics.quantiles(spans, n=100)[98] * 1e6,
        "cpu_us": cpu_s / len(spans) * 1e6,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
