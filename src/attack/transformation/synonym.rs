//! A word by one that means nearly the same, from word vectors or from WordNet's files.

use super::WordSwap;
use crate::attack::AttackError;
use crate::attack::constraint::cosine;
use crate::attack::random::Draws;
use crate::files;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Someone who knows synonyms.
pub trait Synonyms: fmt::Debug + Send + Sync {
    /// At most `most` synonyms of a word in small letters, the nearest first.
    fn of(&self, word: &str, most: usize) -> Vec<String>;

    /// How near two words are, as a cosine; none where that is not known.
    fn similarity(&self, a: &str, b: &str) -> Option<f64>;
}

impl dyn Synonyms {
    /// Opens a file of word vectors (`word 0.1 -0.2 …` a line, as GloVe and counter-fitted vectors are), or a folder with
    /// WordNet's dictionary.
    pub fn open(path: &Path) -> Result<Arc<Self>, AttackError> {
        if files::is_file(&path.join("data.noun")) {
            return Ok(Arc::new(WordNet::open(path)?));
        }
        if files::is_file(path) {
            return Ok(Arc::new(WordVectors::open(path)?));
        }
        Err(AttackError::NoSynonyms { path: path.to_owned() })
    }
}

/// Replaces words by synonyms, with their case.
#[derive(Debug)]
pub struct Synonym {
    /// Who knows them.
    pub source: Arc<dyn Synonyms>,
    /// Synonyms of a word at most.
    pub most: usize,
}

impl WordSwap for Synonym {
    fn replacements(&self, word: &str, _: &mut Draws) -> Vec<String> {
        self.source.of(&word.to_lowercase(), self.most).iter().map(|new| with_case_of(new, word)).collect()
    }

    fn most(&self) -> usize {
        self.most
    }
}

/// `word` in small letters, in capitals or with a capital, if `like` is so.
fn with_case_of(word: &str, like: &str) -> String {
    let cased = |text: &str| text.chars().any(|c| c.is_uppercase() || c.is_lowercase());
    let lower = |text: &str| cased(text) && !text.chars().any(char::is_uppercase);
    let upper = |text: &str| cased(text) && !text.chars().any(char::is_lowercase);
    let (first, rest) = like.split_at(like.chars().next().map_or(0, char::len_utf8));
    if lower(like) {
        word.to_lowercase()
    } else if upper(like) && like.chars().count() > 1 {
        word.to_uppercase()
    } else if upper(first) && lower(rest) {
        let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        first.to_uppercase() + &rest.to_lowercase()
    } else {
        word.to_owned()
    }
}

/// Words with a vector each.
#[derive(Debug)]
struct WordVectors {
    words: Vec<String>,
    places: HashMap<String, usize>,
    vectors: Vec<Vec<f32>>,
}

impl WordVectors {
    fn open(path: &Path) -> Result<Self, AttackError> {
        let mut known = Self { words: Vec::new(), places: HashMap::new(), vectors: Vec::new() };
        for (number, line) in files::read_text(path)?.lines().enumerate() {
            let wrong =
                |reason: String| AttackError::Line { path: path.to_owned(), line: number + 1, reason };
            let mut fields = line.split_whitespace();
            let word = fields.next().ok_or_else(|| wrong("an empty line".into()))?;
            let vector: Vec<f32> = fields
                .map(|x| {
                    x.parse()
                        .ok()
                        .filter(|x: &f32| x.is_finite())
                        .ok_or_else(|| wrong(format!("`{x}` is no number")))
                })
                .collect::<Result<_, _>>()?;
            // word2vec's text format begins with the counts of words and of numbers.
            if number == 0 && vector.len() == 1 {
                continue;
            }
            let length = known.vectors.first().map_or(vector.len(), Vec::len);
            if vector.is_empty() || vector.len() != length {
                return Err(wrong(format!(
                    "{} numbers behind `{word}`, but {length} in the first line",
                    vector.len()
                )));
            }
            if known.places.insert(word.to_owned(), known.words.len()).is_none() {
                known.words.push(word.to_owned());
                known.vectors.push(vector);
            }
        }
        Ok(known)
    }
}

impl Synonyms for WordVectors {
    fn of(&self, word: &str, most: usize) -> Vec<String> {
        let Some(&place) = self.places.get(word) else { return Vec::new() };
        let near = |other: usize| cosine(&self.vectors[place], &self.vectors[other]);
        let mut others: Vec<(usize, f64)> =
            (0..self.words.len()).filter(|other| *other != place).map(|other| (other, near(other))).collect();
        others.sort_by(|a, b| b.1.total_cmp(&a.1));
        others.iter().take(most).map(|(other, _)| self.words[*other].clone()).collect()
    }

    fn similarity(&self, a: &str, b: &str) -> Option<f64> {
        Some(cosine(&self.vectors[*self.places.get(a)?], &self.vectors[*self.places.get(b)?]))
    }
}

/// WordNet's dictionary files (`wndb(5WN)`), read as they are.
struct WordNet {
    /// Index and data of nouns, verbs, adjectives and adverbs.
    parts: Vec<(HashMap<String, Vec<usize>>, String)>,
}

impl fmt::Debug for WordNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WordNet")
    }
}

impl WordNet {
    fn open(folder: &Path) -> Result<Self, AttackError> {
        let part = |name: &str| {
            let path = folder.join(format!("index.{name}"));
            let mut index = HashMap::new();
            for (number, line) in files::read_text(&path)?.lines().enumerate() {
                // The licence stands in front, each line of it behind two spaces.
                if line.starts_with("  ") {
                    continue;
                }
                let wrong = || AttackError::Line {
                    path: path.clone(),
                    line: number + 1,
                    reason:
                        "not `lemma pos synset_cnt p_cnt [ptr_symbol…] sense_cnt tagsense_cnt synset_offset…`"
                            .into(),
                };
                let fields: Vec<&str> = line.split_whitespace().collect();
                let count: usize = fields.get(2).and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
                let from = fields.len().checked_sub(count).filter(|from| *from >= 4).ok_or_else(wrong)?;
                let offsets = fields[from..]
                    .iter()
                    .map(|o| o.parse().map_err(|_| wrong()))
                    .collect::<Result<Vec<usize>, _>>()?;
                index.insert(fields[0].to_owned(), offsets);
            }
            Ok::<_, AttackError>((index, files::read_text(&folder.join(format!("data.{name}")))?))
        };
        Ok(Self { parts: ["noun", "verb", "adj", "adv"].into_iter().map(part).collect::<Result<_, _>>()? })
    }
}

/// The lemmas in the line of a synset: `offset lex_filenum ss_type w_cnt word lex_id [word lex_id…] …`, `w_cnt` in hex.
fn lemmas(line: &str) -> Vec<&str> {
    let fields: Vec<&str> = line.split(' ').collect();
    let count = fields.get(3).and_then(|n| usize::from_str_radix(n, 16).ok()).unwrap_or(0);
    // An adjective may say where it stands: `galore(ip)`.
    fields.iter().skip(4).step_by(2).take(count).map(|w| w.split('(').next().unwrap_or(w)).collect()
}

impl Synonyms for WordNet {
    fn of(&self, word: &str, most: usize) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for (index, data) in &self.parts {
            for &offset in index.get(word).into_iter().flatten() {
                let line = data.get(offset..).and_then(|rest| rest.lines().next()).unwrap_or_default();
                for lemma in lemmas(line) {
                    let other = lemma.to_lowercase() != word && !lemma.contains('_');
                    if other && !found.iter().any(|known| known == lemma) {
                        found.push(lemma.to_owned());
                    }
                }
            }
        }
        found.truncate(most);
        found
    }

    fn similarity(&self, _: &str, _: &str) -> Option<f64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_give_the_nearest_words_with_the_case_of_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v.txt");
        files::write(&path, b"4 2\ngood 1 0\nfine 0.9 0.1\nbad -1 0\nwell 0.8 0.4\n").unwrap();
        let source = <dyn Synonyms>::open(&path).unwrap();
        assert_eq!(source.of("good", 2), ["fine", "well"]);
        let swap = Synonym { source: Arc::clone(&source), most: 1 };
        for (word, want) in [("good", "fine"), ("Good", "Fine"), ("GOOD", "FINE"), ("gOod", "fine")] {
            assert_eq!(swap.replacements(word, &mut Draws::new(0)), [want]);
        }
        assert!(
            source.similarity("good", "bad").unwrap() < -0.99 && source.similarity("good", "x").is_none()
        );
        files::write(&path, b"good 1 0\nbad 1\n").unwrap();
        let said = <dyn Synonyms>::open(&path).unwrap_err().to_string();
        assert!(said.contains("line 2") && said.contains("`bad`"), "{said}");
    }

    #[test]
    fn wordnet_gives_the_other_lemmas_of_each_synset() {
        let dir = tempfile::tempdir().unwrap();
        let licence = "  1 a licence\n";
        let one =
            format!("{licence}00000000 09 n 03 judge 0 jurist 0 chief_justice 1 000 | one who judges\n");
        for part in ["noun", "verb", "adj", "adv"] {
            let (index, data) = if part == "noun" {
                let offset = licence.len();
                (format!("{licence}judge n 1 0 1 0 {offset:08}\n"), one.clone())
            } else {
                (licence.to_owned(), licence.to_owned())
            };
            files::write(&dir.path().join(format!("index.{part}")), index.as_bytes()).unwrap();
            files::write(&dir.path().join(format!("data.{part}")), data.as_bytes()).unwrap();
        }
        let source = <dyn Synonyms>::open(dir.path()).unwrap();
        assert_eq!(source.of("judge", 9), ["jurist"]);
        assert!(source.of("jury", 9).is_empty() && source.similarity("judge", "jurist").is_none());
    }
}
