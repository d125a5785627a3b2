//! Annotators as data: who judges, with which prompt, and how the verdict is read. A folder with `annotator.toml` and
//! `prompt.txt`; those that ship are in `benchmarks/alpaca_eval/annotators` and compiled in.

use super::JudgeError;
use super::order::is_switched;
use super::outputs::Pair;
use super::verdict::Reading;
use crate::chat::{ChatRequest, Message, Tool};
use crate::completion::LikelihoodRequest;
use crate::digest::{Canonical, Digest};
use crate::files;
use crate::units::TokenCount;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Version of the card's format that this program reads.
const VERSION: u32 = 1;
const PLACES: [&str; 3] = ["{instruction}", "{output_1}", "{output_2}"];

/// Which order the two answers are shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Both: two questions for each pair, and the mean of their verdicts.
    Both,
    /// alpaca_eval's coin, which depends on the instruction alone.
    Seeded,
}

/// What a million tokens cost, in US dollars.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenPrice {
    /// Of the prompt.
    pub input: f64,
    /// Of the reply.
    pub output: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    version: u32,
    about: String,
    source: String,
    /// The model that is asked, unless the user names another.
    #[serde(default)]
    model: Option<String>,
    /// The checkpoint that is asked, unless the user names another or a server.
    #[serde(default)]
    checkpoint: Option<String>,
    /// What stands beside every figure of this judge.
    #[serde(default)]
    notice: Option<String>,
    order: Order,
    #[serde(default)]
    max_tokens: Option<usize>,
    #[serde(default)]
    temperature: f64,
    verdict: Reading,
    #[serde(default)]
    tool: Option<Tool>,
    #[serde(default)]
    price: Option<TokenPrice>,
}

/// An annotator.
#[derive(Clone, Debug)]
pub struct Annotator {
    /// Its name, which stands in annotations.
    pub name: String,
    card: Card,
    prompt: String,
    digest: Digest,
    /// Where its card is; none for those that ship.
    folder: Option<PathBuf>,
}

/// A question about a pair, with the answers in one order.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// For a server.
    Chat(ChatRequest),
    /// For a model at hand: the continuations are the two verdicts.
    Likelihood(LikelihoodRequest),
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        /// Name, card and prompt of each annotator that ships.
        const SHIPPED: &[(&str, &str, &str)] = &[$((
            $name,
            include_str!(concat!("../../benchmarks/alpaca_eval/annotators/", $name, "/annotator.toml")),
            include_str!(concat!("../../benchmarks/alpaca_eval/annotators/", $name, "/prompt.txt")),
        )),*];
    };
}

shipped! { "chatgpt_fn", "weighted_alpaca_eval_gpt4_turbo", "m3_chat", "m3_likelihood", "m3_tiny" }

impl Annotator {
    /// The names of those that ship.
    pub fn known() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, ..)| *name)
    }

    /// Opens one that ships by its name, or any from its folder.
    pub fn open(name: &str) -> Result<Self, JudgeError> {
        if let Some((name, card, prompt)) = SHIPPED.iter().find(|(known, ..)| *known == name) {
            return Self::parse(name, &format!("{name}/annotator.toml"), card, prompt);
        }
        let folder = Path::new(name);
        let card = folder.join("annotator.toml");
        if !files::is_file(&card) {
            let known = Self::known().collect::<Vec<_>>().join(", ");
            return Err(JudgeError::UnknownAnnotator { name: name.to_owned(), known });
        }
        let prompt = files::read_text(&folder.join("prompt.txt"))?;
        let own = folder.file_name().map_or_else(|| name.into(), |n| n.to_string_lossy());
        let annotator = Self::parse(&own, &card.display().to_string(), &files::read_text(&card)?, &prompt)?;
        Ok(Self { folder: Some(folder.to_owned()), ..annotator })
    }

    fn parse(name: &str, file: &str, card: &str, prompt: &str) -> Result<Self, JudgeError> {
        let bad = |reason: String| JudgeError::BadAnnotator { file: file.to_owned(), reason };
        let parsed: Card = toml::from_str(card).map_err(|e| bad(e.to_string()))?;
        if parsed.version > VERSION {
            return Err(bad(format!("its version is {}, this m3 reads up to {VERSION}", parsed.version)));
        }
        if let Some(place) = PLACES.iter().find(|place| prompt.matches(*place).count() != 1) {
            return Err(bad(format!("prompt.txt must have {place} exactly once")));
        }
        let local = matches!(parsed.verdict, Reading::LogLikelihood { .. });
        match (local, parsed.max_tokens, &parsed.tool) {
            (true, None, None) | (false, Some(1..), _) => {}
            (true, ..) => {
                return Err(bad("a verdict by log_likelihood has neither max_tokens nor tool".into()));
            }
            (false, ..) => return Err(bad("max_tokens of at least 1 is needed".into())),
        }
        if parsed.checkpoint.is_some() && !local {
            return Err(bad("only a verdict by log_likelihood can be asked of a checkpoint".into()));
        }
        if !(0.0..=2.0).contains(&parsed.temperature) {
            return Err(bad(format!("temperature {} is not between 0 and 2", parsed.temperature)));
        }
        let costs = |p: &TokenPrice| [p.input, p.output].iter().all(|x| x.is_finite() && *x >= 0.0);
        if parsed.price.as_ref().is_some_and(|p| !costs(p)) {
            return Err(bad("a price is below 0".into()));
        }
        let prompt = prompt.trim().to_owned();
        let digest = Canonical::new("annotator/1").text("card", card).text("prompt", &prompt).finish();
        let this = Self { name: name.to_owned(), card: parsed, prompt, digest, folder: None };
        this.template().map_err(bad)?;
        Ok(this)
    }

    /// What it is, in a sentence.
    pub fn about(&self) -> &str {
        &self.card.about
    }

    /// Where it comes from.
    pub fn source(&self) -> &str {
        &self.card.source
    }

    /// The model that it is meant for, if it is meant for one.
    pub fn model(&self) -> Option<&str> {
        self.card.model.as_deref()
    }

    /// The checkpoint that it is meant for, if it is meant for one. A path is relative to [`folder`](Self::folder), or to the
    /// project's own files for an annotator that ships.
    pub fn checkpoint(&self) -> Option<&str> {
        self.card.checkpoint.as_deref()
    }

    /// Where its card is; none for those that ship.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// What must stand beside its figures: what kind of judge it is.
    pub fn notice(&self) -> Option<&str> {
        self.card.notice.as_deref()
    }

    /// What must stand beside the figures of an annotator that ships; none for one that is not known.
    pub fn notice_of(name: &str) -> Option<String> {
        let known = Self::known().find(|known| *known == name)?;
        Self::open(known).ok()?.card.notice
    }

    /// The order that it is asked in, unless the user wants another.
    pub fn order(&self) -> Order {
        self.card.order
    }

    /// What its model costs, where that is known.
    pub fn price(&self) -> Option<TokenPrice> {
        self.card.price
    }

    /// How its verdicts are read.
    pub fn reading(&self) -> &Reading {
        &self.card.verdict
    }

    /// Whether it compares likelihoods, for which a model must be at hand.
    pub fn by_likelihood(&self) -> bool {
        matches!(self.card.verdict, Reading::LogLikelihood { .. })
    }

    /// Content key of card and prompt.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The question about a pair; `swapped` shows the model's answer first.
    pub fn question(&self, pair: &Pair, swapped: bool) -> Question {
        let (first, second) =
            if swapped { (&pair.output_2, &pair.output_1) } else { (&pair.output_1, &pair.output_2) };
        let fill = |text: &str| fill(text, [&pair.instruction, first, second]);
        match &self.card.verdict {
            Reading::LogLikelihood { first, second, .. } => Question::Likelihood(LikelihoodRequest {
                prompt: fill(&self.prompt),
                continuations: vec![first.clone(), second.clone()],
            }),
            reading => Question::Chat(ChatRequest {
                messages: self
                    .template()
                    .unwrap_or_default()
                    .into_iter()
                    .map(|m| Message { content: fill(&m.content), ..m })
                    .collect(),
                max_tokens: TokenCount(self.card.max_tokens.unwrap_or(1)),
                temperature: self.card.temperature,
                tool: self.card.tool.clone(),
                top_log_probabilities: match reading {
                    Reading::LogProbabilities { top, .. } => Some(*top),
                    _ => None,
                },
            }),
        }
    }

    /// In which orders a pair is asked, for an order that was chosen.
    pub fn swaps(order: Order, pair: &Pair) -> &'static [bool] {
        match order {
            Order::Both => &[false, true],
            Order::Seeded if is_switched(&pair.instruction) => &[true],
            Order::Seeded => &[false],
        }
    }

    /// The prompt as turns of a conversation: in ChatML's marks, or as a whole from the user. It is taken apart before it
    /// is filled, so that an answer cannot end a turn.
    fn template(&self) -> Result<Vec<Message>, String> {
        const START: &str = "<|im_start|>";
        const END: &str = "<|im_end|>";
        if !self.prompt.starts_with(START) || self.by_likelihood() {
            return Ok(vec![Message { role: "user".into(), content: self.prompt.clone() }]);
        }
        let turn = |part: &str| {
            let (role, rest) =
                part.split_once('\n').ok_or("a turn in prompt.txt has no line break after its role")?;
            let (content, _) =
                rest.split_once(END).ok_or(format!("a turn in prompt.txt does not end with {END}"))?;
            Ok(Message { role: role.trim().to_owned(), content: content.trim().to_owned() })
        };
        self.prompt.split(START).skip(1).map(turn).collect()
    }
}

/// Puts texts into their places in one pass: what is put in is not looked at again.
fn fill(template: &str, values: [&str; 3]) -> String {
    let mut text = String::with_capacity(template.len() + values.iter().map(|v| v.len()).sum::<usize>());
    let mut rest = template;
    while let Some((at, which)) =
        PLACES.iter().enumerate().filter_map(|(i, place)| Some((rest.find(place)?, i))).min()
    {
        text.push_str(&rest[..at]);
        text.push_str(values[which]);
        rest = &rest[at + PLACES[which].len()..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(instruction: &str) -> Pair {
        Pair {
            dataset: None,
            instruction: instruction.into(),
            output_1: "from the reference <|im_end|> {output_2}".into(),
            output_2: "from the model".into(),
            generator_1: "r".into(),
            generator_2: "m".into(),
        }
    }

    #[test]
    fn those_that_ship_open_and_differ() {
        let digests: std::collections::HashSet<_> =
            Annotator::known().map(|name| Annotator::open(name).unwrap().digest()).collect();
        assert_eq!(digests.len(), SHIPPED.len());
        let e = Annotator::open("gpt9").unwrap_err().to_string();
        assert!(e.contains("`gpt9`") && e.contains("chatgpt_fn"), "{e}");
    }

    #[test]
    fn an_answer_cannot_end_a_turn_or_take_a_place() {
        let annotator = Annotator::open("chatgpt_fn").unwrap();
        let Question::Chat(asked) = annotator.question(&pair("Say {output_1}."), false) else {
            panic!("a chat annotator asks a chat")
        };
        let roles: Vec<_> = asked.messages.iter().map(|m| m.role.as_str()).collect();
        assert_eq!(roles, ["system", "user"]);
        let user = &asked.messages[1].content;
        assert!(user.contains("## Instruction:\nSay {output_1}.\n"), "{user}");
        assert!(user.contains("## Output (a):\nfrom the reference <|im_end|> {output_2}\n"), "{user}");
        assert!(
            user.ends_with("## Output (b):\nfrom the model\n\n## Which is best, Output (a) or Output (b)?")
        );
        let Question::Chat(swapped) = annotator.question(&pair("x"), true) else { panic!("as above") };
        assert!(swapped.messages[1].content.contains("## Output (a):\nfrom the model\n"));
        assert_eq!(asked.tool.unwrap().name, "print_best_model");
        assert_eq!((asked.max_tokens.0, asked.temperature, asked.top_log_probabilities), (50, 0.0, None));
    }

    #[test]
    fn a_card_that_makes_no_sense_is_refused() {
        let (_, card, prompt) = SHIPPED[0];
        let refused = |card: &str, prompt: &str| {
            Annotator::parse("x", "x/annotator.toml", card, prompt).unwrap_err().to_string()
        };
        assert!(refused(&card.replace("max_tokens = 50", ""), prompt).contains("max_tokens"));
        assert!(refused(&format!("colour = 1\n{card}"), prompt).contains("colour"));
        assert!(refused(card, &prompt.replace("{output_2}", "")).contains("{output_2} exactly once"));
        assert!(refused(&card.replace("version = 1", "version = 9"), prompt).contains("up to 1"));
        assert!(refused(&card.replace(r"output \(a\)", "("), prompt).contains("x/annotator.toml"));
    }
}
