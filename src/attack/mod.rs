//! **Which prompt breaks it?**
//!
//! An attack is transformation × constraints × word ranking × search, after one goal (TextAttack's vocabulary, Morris et
//! al. 2020): it looks for the prompt under which a model is right least often. This room knows no model and no data set;
//! whoever can say how often a model is right under a prompt is a [`Victim`].
//!
//! - `recipe`: the attacks, each a composition; in what profiles differ
//! - `words`: what counts as a word; `text`: a prompt as words; `order`: in which order words are looked at
//! - `transformation/`: what can be done to a text; `random`: the reference's random numbers
//! - `constraint`: which words may be changed and which texts asked; `stopwords`
//! - `ranking`, `search`: in which order candidates are asked, and which of them wins
//! - `goal`: what is asked about a prompt; the performance drop rate
//! - `edits`: what was changed, marked
//! - `error`: what can be wrong

mod constraint;
mod edits;
mod error;
mod goal;
mod order;
mod random;
mod ranking;
mod recipe;
mod search;
mod stopwords;
mod text;
mod transformation;
mod words;

pub use constraint::{
    Askable, Constraint, EditDistance, Modifiable, SentenceSimilarity, WordSimilarity, WordsPerturbed,
};
pub use edits::marked;
pub use error::AttackError;
pub use goal::{Accuracy, CONTENT, Victim, check_prompt, drop_rate};
pub use random::Draws;
pub use recipe::{AttackName, Resources, Rules};
pub use search::{Attack, Found, Query, Search, Stage, WordRanking};
pub use text::AttackedText;
pub use transformation::{
    Append, Characters, Composite, Edit, Homoglyph, Listed, MaskedWords, Synonym, Synonyms, Transformation,
    WordSwap, read_prompts,
};
pub use words::WordRule;
