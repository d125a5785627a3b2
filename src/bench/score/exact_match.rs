//! lm-evaluation-harness' way from a text to a value: a `regex` filter, then `exact_match` (`filters/extraction.py` and
//! `api/metrics.py`, version 0.4.13). The options have its names and meanings:
//!
//! 1. Of all matches of `regex_pattern`, from left to right and not overlapping, `group_select` takes one. Where the
//!    pattern has groups, the match is its first group that is not empty. Without a match the answer is invalid.
//! 2. From match and target every match of each of `regexes_to_ignore` is removed, in their order, and both are put in
//!    small letters where `ignore_case` says so. The answer is right if they are equal then.

use super::{BadField, Scorer, Tools, need};
use crate::bench::dataset::Item;
use crate::bench::extract::strip;
use crate::bench::verdict::Verdict;
use regex::Regex;
use serde::{Deserialize, Deserializer};

/// The options of `exact_match`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bench) struct ExactMatch {
    /// The field with the target.
    doc_to_target: String,
    /// What is taken out of the answer.
    #[serde(deserialize_with = "pattern")]
    regex_pattern: Regex,
    /// Which match: from 0 for the first, or from −1 for the last.
    group_select: i64,
    /// What is removed before the comparison.
    #[serde(default, deserialize_with = "patterns")]
    regexes_to_ignore: Vec<Regex>,
    /// Whether capitals do not matter.
    #[serde(default)]
    ignore_case: bool,
}

fn pattern<'de, D: Deserializer<'de>>(from: D) -> Result<Regex, D::Error> {
    Regex::new(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

fn patterns<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Regex>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| Regex::new(text).map_err(serde::de::Error::custom)).collect()
}

impl ExactMatch {
    fn filter<'a>(&self, answer: &'a str) -> Option<&'a str> {
        let selected = if self.group_select >= 0 {
            self.regex_pattern.captures_iter(answer).nth(self.group_select as usize)
        } else {
            // Matches are looked for from the left, so the last ones are known at the end only.
            let behind = self.group_select.unsigned_abs() as usize;
            let mut kept = std::collections::VecDeque::with_capacity(behind);
            for found in self.regex_pattern.captures_iter(answer) {
                if kept.len() == behind {
                    kept.pop_front();
                }
                kept.push_back(found);
            }
            if kept.len() == behind { kept.pop_front() } else { None }
        }?;
        let mut groups = selected.iter().skip(1).flatten().map(|group| group.as_str());
        let found = match selected.len() {
            1 => selected.get(0)?.as_str(),
            _ => groups.find(|group| !group.is_empty())?,
        };
        Some(strip(found))
    }

    fn compared(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for ignored in &self.regexes_to_ignore {
            text = ignored.replace_all(&text, "").into_owned();
        }
        if self.ignore_case { text.to_lowercase() } else { text }
    }
}

impl Scorer for ExactMatch {
    fn version(&self) -> u32 {
        1
    }

    fn check(&self, item: &Item) -> Result<(), BadField> {
        need(item, &self.doc_to_target).map(|_| ())
    }

    fn score(&self, item: &Item, answer: &str, _: &Tools<'_>) -> Verdict {
        let Some(found) = self.filter(answer) else { return Verdict::no_answer() };
        let target = item.text(&self.doc_to_target).unwrap_or_default();
        Verdict::judged(self.compared(found) == self.compared(target), found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered<'a>(options: &str, answer: &'a str) -> Option<&'a str> {
        let scorer: ExactMatch = toml::from_str(&format!("doc_to_target = \"x\"\n{options}")).unwrap();
        scorer.filter(answer)
    }

    #[test]
    fn a_match_is_selected_from_either_end() {
        let of = |select: i64| format!("regex_pattern = '[0-9]+'\ngroup_select = {select}");
        let cases =
            [(0, Some("1")), (1, Some("22")), (3, None), (-1, Some("3")), (-3, Some("1")), (-4, None)];
        for (select, expected) in cases {
            assert_eq!(filtered(&of(select), "1 a 22 b 3"), expected, "{select}");
        }
        assert_eq!(filtered("regex_pattern = '#(a*)(b*)'\ngroup_select = 0", "#bb"), Some("bb"));
        assert_eq!(filtered("regex_pattern = '#(a*)(b*)'\ngroup_select = 0", "#"), None);
    }

    #[test]
    fn a_pattern_that_is_none_is_refused() {
        let e = toml::from_str::<ExactMatch>("doc_to_target = \"x\"\nregex_pattern = '('\ngroup_select = 0");
        assert!(e.unwrap_err().to_string().contains("unclosed group"));
    }
}
