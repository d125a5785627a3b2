//! What makes two facts the same fact.

use crate::completion::{LikelihoodRequest, Request};
use crate::digest::{Canonical, Digest};

/// Same weights, same tokenizer and config, same way of computing, same request: same answer.
pub fn answer_key(weights: Digest, companions: Digest, numerics: &str, request: &Request) -> Digest {
    let mut form = Canonical::new("answer/1")
        .digest("weights", weights)
        .digest("companions", companions)
        .text("numerics", numerics)
        .text("prompt", &request.prompt)
        .text("sampling", &format!("{:?}", request.sampling))
        .number("max_tokens", request.max_tokens.0 as u64);
    for stop in &request.stop {
        form = form.text("stop", stop);
    }
    for word in &request.end_with {
        form = form.text("end_with", word);
    }
    form.finish()
}

/// The same for the log-likelihoods of given continuations.
pub fn likelihood_key(
    weights: Digest,
    companions: Digest,
    numerics: &str,
    request: &LikelihoodRequest,
) -> Digest {
    let form = Canonical::new("likelihoods/1")
        .digest("weights", weights)
        .digest("companions", companions)
        .text("numerics", numerics)
        .text("prompt", &request.prompt);
    request.continuations.iter().fold(form, |form, text| form.text("continuation", text)).finish()
}

/// Same answer, same item, same benchmark (its card and scorer), same confinement of programs: same verdict.
pub fn verdict_key(answer: Digest, item: Digest, benchmark: Digest, confinement: Option<&str>) -> Digest {
    Canonical::new("verdict/1")
        .digest("answer", answer)
        .digest("item", item)
        .digest("benchmark", benchmark)
        .text("confinement", confinement.unwrap_or(""))
        .finish()
}

/// A run is one model on one benchmark; splits and limits share it, for its facts are keyed one by one.
pub fn run_key(
    weights: Digest,
    companions: Digest,
    numerics: &str,
    benchmark: Digest,
    confinement: Option<&str>,
) -> Digest {
    Canonical::new("run/1")
        .digest("weights", weights)
        .digest("companions", companions)
        .text("numerics", numerics)
        .digest("benchmark", benchmark)
        .text("confinement", confinement.unwrap_or(""))
        .finish()
}
