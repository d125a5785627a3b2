//! How a person names a model: `path_or_hub_id[@revision][+adapter[@revision]]`, as mergekit has it.

use super::CheckpointError;
use crate::files;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// Something that lies at a path or on a hub.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// A path, or a hub's `organisation/name`.
    pub place: String,
    /// A branch, a tag or a commit, on a hub.
    pub revision: Option<String>,
}

/// A model, and perhaps an adapter for it. In files it is a text.
///
/// A path that exists is taken whole, even if it contains `@` or `+`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelRef {
    /// The model.
    pub base: Location,
    /// A PEFT LoRA adapter.
    pub adapter: Option<Location>,
}

impl ModelRef {
    /// A model at a path, whatever characters it has.
    pub fn at(path: &Path) -> Self {
        let place = path.to_string_lossy().into_owned();
        Self { base: Location { place, revision: None }, adapter: None }
    }

    /// Parses a reference whose paths are relative to `folder`; those that exist are joined to it.
    pub fn parse_in(text: &str, folder: &Path) -> Result<Self, CheckpointError> {
        let wrong = |reason| CheckpointError::BadReference { text: text.to_owned(), reason };
        let on_disk = |text: &str| {
            let path = folder.join(text);
            (!text.is_empty() && files::exists(&path)).then(|| path.to_string_lossy().into_owned())
        };
        if let Some(place) = on_disk(text) {
            return Ok(Self { base: Location { place, revision: None }, adapter: None });
        }
        let location = |text: &str| {
            if let Some(place) = on_disk(text) {
                return Ok(Location { place, revision: None });
            }
            let (place, revision) = match text.split_once('@') {
                Some((_, revision)) if revision.contains('@') => {
                    return Err(wrong("a part has more than one `@`"));
                }
                Some((_, "")) => return Err(wrong("there is nothing behind `@`")),
                Some((place, revision)) => (place, Some(revision.to_owned())),
                None => (text, None),
            };
            if place.is_empty() {
                return Err(wrong("a part of it is empty"));
            }
            Ok(Location { place: on_disk(place).unwrap_or_else(|| place.to_owned()), revision })
        };
        // A path may contain `+`: what stands before one of them, or behind it, may be on disk.
        let known =
            text.match_indices('+').map(|(at, _)| (&text[..at], &text[at + 1..])).find(|(base, adapter)| {
                on_disk(base).is_some() && (on_disk(adapter).is_some() || !adapter.contains('+'))
            });
        let (base, adapter) = match known.or_else(|| text.split_once('+')) {
            Some((_, adapter)) if adapter.contains('+') && on_disk(adapter).is_none() => {
                return Err(wrong("it has more than one `+`"));
            }
            Some((base, adapter)) => (base, Some(adapter)),
            None => (text, None),
        };
        Ok(Self { base: location(base)?, adapter: adapter.map(location).transpose()? })
    }
}

impl FromStr for ModelRef {
    type Err = CheckpointError;

    /// Paths are relative to the working folder.
    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        Self::parse_in(text, Path::new(""))
    }
}

impl TryFrom<String> for ModelRef {
    type Error = CheckpointError;

    fn try_from(text: String) -> Result<Self, CheckpointError> {
        text.parse()
    }
}

impl From<ModelRef> for String {
    fn from(reference: ModelRef) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        self.revision.iter().try_for_each(|revision| write!(f, "@{revision}"))
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.base.fmt(f)?;
        self.adapter.iter().try_for_each(|adapter| write!(f, "+{adapter}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, Option<String>, Option<String>) {
        let parsed: ModelRef = text.parse().unwrap();
        assert_eq!(parsed.to_string(), text);
        (parsed.base.place, parsed.base.revision, parsed.adapter.map(|a| a.to_string()))
    }

    #[test]
    fn base_revision_and_adapter_are_told_apart() {
        let own = |text: &str| Some(text.to_owned());
        assert_eq!(parts("org/name"), ("org/name".into(), None, None));
        assert_eq!(parts("org/name@v1"), ("org/name".into(), own("v1"), None));
        assert_eq!(parts("org/name@v1+org/lora@v2"), ("org/name".into(), own("v1"), own("org/lora@v2")));
        assert_eq!(parts("org/name+org/lora"), ("org/name".into(), None, own("org/lora")));
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        for text in ["", "@v1", "a/b@", "a/b@1@2", "a/b+c/d+e/f", "a/b+", "+c/d", "a/b+c/d@1@2"] {
            let message = text.parse::<ModelRef>().unwrap_err().to_string();
            assert!(message.contains("PATH_OR_HUB_ID"), "{text}: {message}");
        }
    }

    #[test]
    fn a_path_that_exists_is_taken_whole() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a+b@c@d", "lora+1", "plain"] {
            files::create_folder(&dir.path().join(name)).unwrap();
        }
        let parse = |text: &str| ModelRef::parse_in(text, dir.path()).unwrap();
        let here = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        assert_eq!(parse("a+b@c@d"), ModelRef::at(&dir.path().join("a+b@c@d")));
        let both = parse("a+b@c@d+lora+1");
        assert_eq!((both.base.place, both.adapter.unwrap().place), (here("a+b@c@d"), here("lora+1")));
        let mixed = parse("plain+org/lora@main");
        assert_eq!(
            (mixed.base.place, mixed.adapter.unwrap().to_string()),
            (here("plain"), "org/lora@main".into())
        );
        let text = serde_json::to_string(&ModelRef::at(&dir.path().join("plain"))).unwrap();
        assert_eq!(serde_json::from_str::<ModelRef>(&text).unwrap().base.place, here("plain"));
    }
}
