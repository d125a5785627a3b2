//! Answer filters: steps that take an answer out of a text, one after the other, with the names and meanings of
//! lm-evaluation-harness where it has them (`filters/extraction.py`, version 0.4.13).

use crate::bench::extract::{last_boxed, strip};
use crate::bench::pattern::pattern;
use regex::Regex;
use serde::Deserialize;
use std::collections::VecDeque;

/// One step.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "function", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Filter {
    /// Of all matches, from left to right and not overlapping, one. Where the pattern has groups, a match is its first group
    /// that is not empty.
    Regex {
        /// What is taken out.
        #[serde(deserialize_with = "pattern")]
        regex_pattern: Regex,
        /// Which match: from 0 for the first, or from −1 for the last.
        #[serde(default)]
        group_select: i64,
    },
    /// The first of several answers; there is one answer to a question here, and this is it.
    TakeFirst {},
    /// The contents of a block between lines of three backticks.
    FencedCode {
        /// Whether the last block counts, and not the first.
        #[serde(default)]
        last: bool,
    },
    /// The contents of the last `\boxed{…}`.
    Boxed {},
    /// What is behind the last of these texts.
    After {
        /// The text.
        text: String,
    },
    /// The first line that is not blank.
    FirstLine {},
    /// Without white space at both ends.
    RemoveWhitespace {},
    /// In small letters.
    Lowercase {},
}

/// What is left of an answer after every step; `None` where one of them finds nothing.
pub(super) fn apply(filters: &[Filter], answer: &str) -> Option<String> {
    filters.iter().try_fold(answer.to_owned(), |text, filter| filter.apply(&text))
}

impl Filter {
    fn apply(&self, text: &str) -> Option<String> {
        match self {
            Self::Regex { regex_pattern, group_select } => {
                select(regex_pattern, *group_select, text).map(str::to_owned)
            }
            Self::TakeFirst {} => Some(text.to_owned()),
            Self::FencedCode { last } => fenced(text, *last).map(str::to_owned),
            Self::Boxed {} => last_boxed(text).map(str::to_owned),
            Self::After { text: mark } => text.rfind(mark).map(|at| text[at + mark.len()..].to_owned()),
            Self::FirstLine {} => text.lines().find(|line| !line.trim().is_empty()).map(str::to_owned),
            Self::RemoveWhitespace {} => Some(strip(text).to_owned()),
            Self::Lowercase {} => Some(text.to_lowercase()),
        }
    }
}

fn select<'t>(pattern: &Regex, group: i64, text: &'t str) -> Option<&'t str> {
    let selected = if group >= 0 {
        pattern.captures_iter(text).nth(group as usize)
    } else {
        // Matches are looked for from the left, so the last ones are known at the end only.
        let behind = group.unsigned_abs() as usize;
        let mut kept = VecDeque::new();
        for found in pattern.captures_iter(text) {
            if kept.len() == behind {
                kept.pop_front();
            }
            kept.push_back(found);
        }
        if kept.len() == behind { kept.pop_front() } else { None }
    }?;
    let found = match selected.len() {
        1 => selected.get(0)?.as_str(),
        _ => selected.iter().skip(1).flatten().map(|group| group.as_str()).find(|group| !group.is_empty())?,
    };
    Some(strip(found))
}

/// The inside of a block of code; one that is not closed ends with the text.
fn fenced(text: &str, last: bool) -> Option<&str> {
    const FENCE: &str = "```";
    let mut found = None;
    let mut rest = text;
    while let Some(at) = rest.find(FENCE) {
        let inside = &rest[at + FENCE.len()..];
        // The rest of the line names the language.
        let start = inside.find('\n').map_or(inside.len(), |newline| newline + 1);
        let end = inside[start..].find(FENCE).map_or(inside.len(), |end| start + end);
        found = Some(&inside[start..end]);
        if !last || end == inside.len() {
            break;
        }
        rest = &inside[end + FENCE.len()..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Steps {
        filter: Vec<Filter>,
    }

    fn filtered(steps: &str, answer: &str) -> Option<String> {
        let steps: Steps = toml::from_str(&format!("filter = [{steps}]")).unwrap();
        apply(&steps.filter, answer)
    }

    #[test]
    fn a_match_is_selected_from_either_end() {
        let of = |select: i64| {
            format!("{{ function = \"regex\", regex_pattern = '[0-9]+', group_select = {select} }}")
        };
        let cases =
            [(0, Some("1")), (1, Some("22")), (3, None), (-1, Some("3")), (-3, Some("1")), (-4, None)];
        for (select, expected) in cases {
            assert_eq!(filtered(&of(select), "1 a 22 b 3").as_deref(), expected, "{select}");
        }
        let groups = "{ function = \"regex\", regex_pattern = '#(a*)(b*)' }";
        assert_eq!(filtered(groups, "#bb").as_deref(), Some("bb"));
        assert_eq!(filtered(groups, "#"), None);
    }

    #[test]
    fn steps_follow_each_other() {
        let code = "{ function = \"fenced_code\", last = true }, { function = \"first_line\" }";
        assert_eq!(filtered(code, "```\na\n```\n```python\n\n b\nc\n```").as_deref(), Some(" b"));
        assert_eq!(filtered("{ function = \"fenced_code\" }", "```\nopen").as_deref(), Some("open"));
        assert_eq!(filtered("{ function = \"fenced_code\" }", "none"), None);
        let boxed =
            "{ function = \"boxed\" }, { function = \"remove_whitespace\" }, { function = \"lowercase\" }";
        assert_eq!(filtered(boxed, "\\boxed{1} \\boxed{ {A} }").as_deref(), Some("{a}"));
        let after = "{ function = \"after\", text = \"is:\" }, { function = \"take_first\" }";
        assert_eq!(filtered(after, "is: 1 is: 2").as_deref(), Some(" 2"));
    }

    #[test]
    fn what_is_no_step_is_refused() {
        let refused =
            |step: &str| toml::from_str::<Steps>(&format!("filter = [{step}]")).err().unwrap().to_string();
        assert!(refused("{ function = \"regexp\" }").contains("`regexp`"));
        assert!(refused("{ function = \"boxed\", first = true }").contains("`first`"));
        assert!(refused("{ function = \"regex\", regex_pattern = '(' }").contains("unclosed group"));
        assert!(refused("{ function = \"regex\", regex_pattern = 'a^b' }").contains("`a^b` can never match"));
    }
}
