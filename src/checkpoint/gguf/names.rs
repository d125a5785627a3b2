//! llama.cpp's names and row order against Hugging Face's. Source: ggml-org/llama.cpp, `gguf-py/gguf/constants.py`
//! (names) and `convert_hf_to_gguf.py` (row order).

use super::super::CheckpointError;
use super::header::Header;
use crate::ids::TensorName;

/// Factors of the rotary frequencies; part of the config for us.
pub(super) const FREQUENCIES: &str = "rope_freqs.weight";

/// In which order a matrix's rows are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    InOrder,
    /// Within each head of `head` rows, the two halves are interleaved, for rotary positions that turn neighbours.
    Interleaved {
        head: usize,
    },
}

/// Where row `row` is stored if heads are interleaved: row `j` of half `k` is stored as `2 j + k`.
pub(super) fn stored_row(row: usize, head: usize) -> usize {
    let (first, within) = (row - row % head, row % head);
    let (half, pair) = (within / (head / 2), within % (head / 2));
    first + 2 * pair + half
}

/// Hugging Face's name of a tensor, and how its rows are stored.
pub(super) fn translate(name: &str, header: &Header) -> Result<(TensorName, Rows), CheckpointError> {
    let unknown = || CheckpointError::UnknownTensor { path: header.path().to_owned(), tensor: name.into() };
    match name {
        "token_embd.weight" => return Ok(("model.embed_tokens.weight".into(), Rows::InOrder)),
        "output_norm.weight" => return Ok(("model.norm.weight".into(), Rows::InOrder)),
        "output.weight" => return Ok(("lm_head.weight".into(), Rows::InOrder)),
        _ => {}
    }
    let (layer, part) = name
        .strip_prefix("blk.")
        .and_then(|rest| rest.strip_suffix(".weight"))
        .and_then(|rest| rest.split_once('.'))
        .ok_or_else(unknown)?;
    let layer: u32 = layer.parse().map_err(|_| unknown())?;
    let mut rows = Rows::InOrder;
    let part = match part {
        "attn_norm" => "input_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        "attn_q" | "attn_k" => {
            rows = Rows::Interleaved { head: head_dim(header)? };
            if part == "attn_q" { "self_attn.q_proj" } else { "self_attn.k_proj" }
        }
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return Err(unknown()),
    };
    Ok((format!("model.layers.{layer}.{part}.weight").into(), rows))
}

/// Width of a head: stated, or an equal share.
pub(super) fn head_dim(header: &Header) -> Result<usize, CheckpointError> {
    let head = match header.count("llama.attention.key_length") {
        Some(stated) => stated,
        None => header.size("llama.embedding_length")? / header.size("llama.attention.head_count")?,
    };
    if head == 0 || !head.is_multiple_of(2) {
        return Err(CheckpointError::Unsupported {
            path: header.path().to_owned(),
            field: "llama.attention.key_length",
            got: head.to_string(),
            want: "rotary positions need an even width",
        });
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaved_rows_are_a_permutation_within_each_head() {
        // Head of 6: halves (0 1 2) and (3 4 5) are stored as 0 3 1 4 2 5.
        let stored: Vec<usize> = (0..12).map(|row| stored_row(row, 6)).collect();
        assert_eq!(stored, [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
    }
}
