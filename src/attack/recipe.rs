//! Which attacks there are: each is a composition of the pieces.

use super::AttackError;
use super::constraint::{
    Constraint, EditDistance, Modifiable, SentenceSimilarity, WordSimilarity, WordsPerturbed,
};
use super::search::{Attack, Search, WordRanking};
use super::transformation::{
    Append, Characters, Composite, Edit, Homoglyph, Listed, MaskedWords, Synonym, Synonyms, Transformation,
};
use super::words::WordRule;
use crate::masked::{EncodeSentence, MaskedLm};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// An attack by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttackName {
    /// True sentences that say nothing, behind the prompt.
    StressTest,
    /// Random words, behind the prompt.
    CheckList,
    /// Letters of important words.
    DeepWordBug,
    /// Letters of important words, look-alikes, and synonyms.
    TextBugger,
    /// Synonyms of important words.
    TextFooler,
    /// What a masked language model expects in place of important words.
    BertAttack,
    /// Prompts that mean the same, from a list.
    Semantic,
}

impl AttackName {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::StressTest,
        Self::CheckList,
        Self::DeepWordBug,
        Self::TextBugger,
        Self::TextFooler,
        Self::BertAttack,
        Self::Semantic,
    ];

    /// PromptBench's name for it.
    pub fn id(self) -> &'static str {
        match self {
            Self::StressTest => "stresstest",
            Self::CheckList => "checklist",
            Self::DeepWordBug => "deepwordbug",
            Self::TextBugger => "textbugger",
            Self::TextFooler => "textfooler",
            Self::BertAttack => "bertattack",
            Self::Semantic => "semantic",
        }
    }

    /// Whether candidates are drawn at random.
    pub fn draws(self) -> bool {
        matches!(self, Self::DeepWordBug | Self::TextBugger)
    }
}

impl FromStr for AttackName {
    type Err = AttackError;

    fn from_str(text: &str) -> Result<Self, AttackError> {
        Self::ALL.into_iter().find(|name| name.id() == text).ok_or_else(|| AttackError::UnknownAttack {
            name: text.to_owned(),
            known: Self::ALL.map(Self::id).join(", "),
        })
    }
}

impl fmt::Display for AttackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// In what profiles differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What counts as a word.
    pub words: WordRule,
    /// Which of the words that may be changed are attacked; all of them where there is none.
    pub positions: Option<&'static [usize]>,
    /// Words that a masked language model offers in each place.
    pub masked_candidates: usize,
    /// Whether a candidate that cannot win any more is given up.
    pub bounded: bool,
}

impl Rules {
    /// The paper's program: TextAttack 0.3.7, three words, two candidates of the masked language model.
    pub const PAPER: Self = Self {
        words: WordRule::TextAttack037,
        positions: Some(&[2, 3, 6]),
        masked_candidates: 2,
        bounded: false,
    };
    /// PromptBench as it is published, with today's TextAttack.
    pub const STANDARD: Self =
        Self { words: WordRule::TextAttack0311, positions: None, masked_candidates: 48, bounded: true };

    /// The words that no attack changes: the labels and `content`. Where apostrophes stay at the end of a word, the
    /// quoted labels alone, as the paper has it.
    pub fn protected(&self, labels: &[String]) -> Vec<String> {
        let quoted = labels.iter().map(|label| format!("{label}'"));
        let bare = labels.iter().filter(|_| self.words == WordRule::TextAttack0311).cloned();
        bare.chain(quoted).chain(["content".to_owned()]).collect()
    }
}

/// What attacks may use beside the prompt.
#[derive(Clone, Default)]
pub struct Resources {
    /// Who knows synonyms.
    pub synonyms: Option<Arc<dyn Synonyms>>,
    /// Who knows what words fit.
    pub masked: Option<Arc<dyn MaskedLm>>,
    /// Who knows what sentences are alike.
    pub encoder: Option<Arc<dyn EncodeSentence>>,
    /// Prompts that mean the same.
    pub prompts: Vec<String>,
}

/// What an attack is put together from.
type Pieces = (Box<dyn Transformation>, Vec<Modifiable>, Vec<Box<dyn Constraint>>, Search);

/// The similarity that TextBugger and BERT-Attack ask for (PromptBench's `min_sentence_cos_sim`).
const ALIKE: f64 = 0.8;

impl Attack {
    /// Puts an attack together. `protected` words are never changed, whatever their case.
    pub fn new(
        name: AttackName,
        rules: Rules,
        protected: &[String],
        resources: &Resources,
    ) -> Result<Self, AttackError> {
        let id = name.id();
        let mut notes = Vec::new();
        let mut alike = || -> Vec<Box<dyn Constraint>> {
            if let Some(encoder) = &resources.encoder {
                let encoder = Arc::clone(encoder);
                return vec![Box::new(SentenceSimilarity { encoder, threshold: ALIKE })];
            }
            notes.push(format!(
                "no sentence encoder was given: candidates need not have a cosine of {ALIKE} with the prompt"
            ));
            Vec::new()
        };
        let synonyms = |most| -> Result<Synonym, AttackError> {
            let what = "synonyms: a file of word vectors, or a WordNet folder";
            let needs = AttackError::Needs { attack: id, what, flag: "--synonyms PATH" };
            Ok(Synonym { source: Arc::clone(resources.synonyms.as_ref().ok_or(needs)?), most })
        };
        let common = || vec![Modifiable::Once, Modifiable::STOPWORDS];
        let unknown = Search::Greedy(WordRanking::Unknown);
        let delete = Search::Greedy(WordRanking::Delete);
        let (transformation, mut modifiable, constraints, search): Pieces = match name {
            AttackName::StressTest => {
                (Box::new(Append::stress_test()), Vec::new(), Vec::new(), Search::BruteForce)
            }
            AttackName::CheckList => {
                (Box::new(Append::check_list()), Vec::new(), Vec::new(), Search::BruteForce)
            }
            AttackName::DeepWordBug => {
                let edits = [Edit::Swap, Edit::Substitute, Edit::Delete, Edit::Insert];
                let swaps = edits.map(|edit| Box::new(Characters::anywhere(edit)) as _);
                (Box::new(Composite(swaps.into())), common(), vec![Box::new(EditDistance(30))], unknown)
            }
            AttackName::TextBugger => {
                let inside = |edit| Box::new(Characters::inside(edit));
                let swaps = Composite(vec![
                    inside(Edit::Insert),
                    inside(Edit::Delete),
                    inside(Edit::Swap),
                    Box::new(Homoglyph),
                    Box::new(synonyms(5)?),
                ]);
                (Box::new(swaps), common(), alike(), delete)
            }
            AttackName::TextFooler => {
                let synonym = synonyms(50)?;
                let source = Arc::clone(&synonym.source);
                notes.push(
                    "parts of speech and the similarity of windows of 15 words are not compared".to_owned(),
                );
                let modifiable = vec![Modifiable::Once, Modifiable::TEXTFOOLER_STOPWORDS];
                let near = Box::new(WordSimilarity { source, least: 0.6 });
                (Box::new(Composite(vec![Box::new(synonym)])), modifiable, vec![near], delete)
            }
            AttackName::BertAttack => {
                let what = "a masked language model: a folder of a BertForMaskedLM, or its name on the hub";
                let needs = AttackError::Needs { attack: id, what, flag: "--masked-lm MODEL" };
                let model = Arc::clone(resources.masked.as_ref().ok_or(needs)?);
                let mut constraints = alike();
                constraints.insert(0, Box::new(WordsPerturbed(1.0)));
                let words = MaskedWords { model, count: rules.masked_candidates };
                (Box::new(words), common(), constraints, unknown)
            }
            AttackName::Semantic => {
                if resources.prompts.is_empty() {
                    let what = "prompts that mean the same: a JSON object that has a list of prompts for each language";
                    return Err(AttackError::Needs { attack: id, what, flag: "--prompts FILE" });
                }
                (Box::new(Listed(resources.prompts.clone())), Vec::new(), Vec::new(), Search::Listed)
            }
        };
        modifiable.push(Modifiable::NoLabel(protected.iter().map(|word| word.to_lowercase()).collect()));
        Ok(Self { name: id, rules, transformation, modifiable, constraints, search, notes })
    }
}
