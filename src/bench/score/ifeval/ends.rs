//! How the answer begins and ends, two answers in one, and no commas.

use super::Language;
use super::instruction::{Arguments, Check, Followed, Made, boxed};
use crate::bench::extract::strip;

pub(super) fn make(name: &str, arguments: &Arguments<'_>) -> Made {
    let folded = |key: &str| arguments.text(key).map(|text| strip(text).to_lowercase());
    Some(match name {
        "end_checker" => boxed(folded("end_phrase").map(End)),
        "quotation" => boxed(Ok(Quotation)),
        "two_responses" => boxed(Ok(TwoResponses)),
        "repeat_prompt" => boxed(folded("prompt_to_repeat").map(RepeatedPrompt)),
        "no_comma" => boxed(Ok(NoComma)),
        _ => return None,
    })
}

/// The answer ends with a phrase, within quotation marks or not.
#[derive(Debug)]
struct End(String);

impl Check for End {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        strip(text).trim_matches('"').to_lowercase().ends_with(&self.0).into()
    }
}

/// The answer is between double quotation marks.
#[derive(Debug)]
struct Quotation;

impl Check for Quotation {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        let text = strip(text);
        (text.len() > 1 && text.starts_with('"') && text.ends_with('"')).into()
    }
}

/// Two different answers with six asterisks between them; more asterisks may stand at the ends.
#[derive(Debug)]
struct TwoResponses;

impl Check for TwoResponses {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        let parts: Vec<&str> = text.split("******").map(strip).collect();
        let inner_blank =
            parts.iter().enumerate().any(|(at, p)| p.is_empty() && at != 0 && at != parts.len() - 1);
        let responses: Vec<&&str> = parts.iter().filter(|p| !p.is_empty()).collect();
        (!inner_blank && matches!(responses[..], [a, b] if a != b)).into()
    }
}

/// The answer begins with the prompt, in capitals or not.
#[derive(Debug)]
struct RepeatedPrompt(String);

impl Check for RepeatedPrompt {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        strip(text).to_lowercase().starts_with(&self.0).into()
    }
}

/// No comma anywhere.
#[derive(Debug)]
struct NoComma;

impl Check for NoComma {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        (!text.contains(',')).into()
    }
}
