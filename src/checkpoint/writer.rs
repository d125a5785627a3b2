//! Sharded safetensors with index, config and tokenizer: all there, or nothing.
