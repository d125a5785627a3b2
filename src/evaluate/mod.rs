//! **Run a benchmark against a model, exactly once per item.**
