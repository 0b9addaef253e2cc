"""llama.cpp's HTTP server with an embedded model; for `benchmarks/real_servers.py`.

Runs in an environment of its own, for neither package belongs to the app:

    python3 -m venv /tmp/llama && /tmp/llama/bin/pip install xllamacpp==2026.10.11549 gguf==0.19.0
    /tmp/llama/bin/python benchmarks/llama_cpp_server.py assets/models/lead /tmp/lead.gguf

Prints the server's address and serves until its input ends.
"""

import json
import sys
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
UNKNOWN = {
    "{%- generation %}": "",
    "{%- endgeneration %}": "",
    "(f.parameters | default({}))": "f.parameters",
}
"""What llama.cpp's templates do not know: tags of training alone, and defaults of objects."""


def tensors(path: Path) -> dict[str, np.ndarray]:
    """Read a safetensors file as 32-bit floats."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        if entry["dtype"] == "BF16":
            halves = np.frombuffer(body[begin:end], np.uint16).astype(np.uint32)
            values = (halves << 16).view(np.float32)
        else:
            values = np.frombuffer(body[begin:end], {"F32": "<f4", "F16": "<f2"}[entry["dtype"]])
        found[name] = values.astype(np.float32).reshape(entry["shape"])
    return found


def permuted(weights: np.ndarray, heads: int) -> np.ndarray:
    """Order the rows of a projection as llama.cpp rotates them: pairs side by side."""
    shape = weights.shape
    pairs = weights.reshape(heads, 2, shape[0] // heads // 2, *shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(shape))


def gguf_name(name: str) -> str:
    """Return what llama.cpp calls a tensor of a Llama model."""
    whole = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
    }
    if name in whole:
        return whole[name]
    layer, _, part = name.removeprefix("model.layers.").partition(".")
    return f"blk.{layer}.{NAMES[part.removesuffix('.weight')]}.weight"


def convert(folder: Path, target: Path) -> None:
    """Write the model folder as one GGUF file."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    heads, shared = config["num_attention_heads"], config["num_key_value_heads"]
    writer = GGUFWriter(str(target), "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(shared)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_vocab_size(config["vocab_size"])
    add_tokenizer(writer, folder, config)
    for name, values in tensors(folder / "model.safetensors").items():
        if ".q_proj." in name or ".k_proj." in name:
            values = permuted(values, heads if ".q_proj." in name else shared)
        writer.add_tensor(gguf_name(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer: GGUFWriter, folder: Path, config: dict) -> None:
    """Add vocabulary, merges and chat template."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    ids = dict(tokenizer["model"]["vocab"])
    kinds = dict.fromkeys(ids.values(), TokenType.NORMAL)
    for added in tokenizer["added_tokens"]:
        ids[added["content"]] = added["id"]
        kinds[added["id"]] = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
    tokens = sorted(ids, key=ids.__getitem__)
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([kinds[ids[token]] for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(False)
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    for theirs, ours in UNKNOWN.items():
        template = template.replace(theirs, ours)
    writer.add_chat_template(template)


def main() -> None:
    """Convert, serve, and stop when the input ends."""
    import xllamacpp

    folder, target = Path(sys.argv[1]), Path(sys.argv[2])
    convert(folder, target)
    params = xllamacpp.CommonParams()
    params.model.path = str(target)
    params.n_ctx = 1024
    params.n_parallel = 1
    params.use_jinja = True
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.cpuparams.n_threads = 1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
