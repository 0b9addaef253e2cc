"""How each kind of imported task is asked and judged."""

from evals.importers.items import Recipe

TEXTS = Recipe(
    kind="texts",
    scorer="exact",
    metrics=("exact_match",),
    max_tokens=256,
)
RECORDS = Recipe(
    kind="JSON records",
    scorer="fields",
    metrics=("exact_match", "field_f1", "json_valid"),
    max_tokens=512,
)
TOOLS = Recipe(
    kind="tool calls",
    scorer="tool_calls",
    metrics=("tool_call_strict",),
    max_tokens=512,
)
BFCL = Recipe(
    kind="tool calls in BFCL's form",
    scorer="tool_calls",
    metrics=("bfcl_ast", "tool_call_strict"),
    max_tokens=512,
)
NUMBERS = Recipe(
    kind="numbers",
    scorer="gsm8k",
    metrics=("gsm8k",),
    max_tokens=512,
    system=(
        "Solve the problem step by step. End with a line that holds the answer as a number: #### 42"
    ),
)
INSTRUCTIONS = Recipe(
    kind="instructions",
    scorer="ifeval",
    metrics=("ifeval_prompt_strict", "ifeval_prompt_loose"),
    max_tokens=1280,
)
LABELS = Recipe(
    kind="labels",
    scorer="routing",
    metrics=("routing_accuracy", "out_of_scope_recall", "expected_calibration_error"),
    max_tokens=24,
)
CITED = Recipe(
    kind="cited answers",
    scorer="citations",
    metrics=("citation_valid", "answer_match", "answer_f1"),
    max_tokens=256,
    system=(
        "Answer the question from the document, as JSON: "
        '{"answer": "...", "citations": [{"document": "...", "quote": "..."}]}. '
        "The answer is as short as it can be; a quote is copied word for word from the document."
    ),
)
