//! A recipe from wherever it comes: our TOML, mergekit's YAML, flags, or the record of a merge that was written.

use super::record::RecordedInput;
use super::{DirectionLaw, Inputs, MadeFrom, MergeError, Mergekit, NamedInput, Plan, Recipe, Record};
use crate::checkpoint::{Checkpoint, CheckpointError, ModelRef, OpenOptions};
use crate::digest::Digest;
use crate::event::{Event, Observer};
use std::path::{Path, PathBuf};

/// What is to be merged, before any model is opened.
#[derive(Clone, Debug)]
pub struct Asked {
    what: What,
    /// The folder in which paths are looked for first.
    beside: PathBuf,
    /// The merge that is made again.
    again: Option<Record>,
}

#[derive(Clone, Debug)]
enum What {
    Recipe(Box<Recipe>),
    Mergekit { recipe: Box<Mergekit>, seed: u64 },
}

impl Asked {
    /// Reads a recipe file: the record of a merge (`.json`), mergekit's (`.yml`, `.yaml`), or ours. `seed` is that of
    /// mergekit's random methods.
    pub fn read(path: &Path, seed: u64) -> Result<Self, MergeError> {
        let beside = path.parent().unwrap_or(Path::new("")).to_owned();
        if Record::is_named(path) {
            return Self::again(Record::read(path)?, path);
        }
        let what = if Mergekit::is_named(path) {
            What::Mergekit { recipe: Box::new(Mergekit::read(path)?), seed }
        } else {
            What::Recipe(Box::new(Recipe::read(path)?))
        };
        Ok(Self { what, beside, again: None })
    }

    /// A recipe that no file says; paths are relative to the working folder.
    pub fn recipe(recipe: Recipe) -> Self {
        Self { what: What::Recipe(Box::new(recipe)), beside: PathBuf::new(), again: None }
    }

    /// The merge of a record; `path` is for messages.
    fn again(record: Record, path: &Path) -> Result<Self, MergeError> {
        let bad = |reason: String| MergeError::BadRecipe { path: path.to_owned(), reason };
        let (what, names) = match &record.made_from {
            MadeFrom::Recipe { asked, direction, .. } => {
                if direction.is_some() != asked.proportion.is_some() {
                    return Err(bad("`direction` and `proportion` belong together".into()));
                }
                (What::Recipe(asked.clone()), asked.names().cloned().collect())
            }
            MadeFrom::Mergekit { text, seed } => {
                let recipe = Box::new(Mergekit::parse(text, path)?);
                let names = recipe.names()?;
                (What::Mergekit { recipe, seed: *seed }, names)
            }
        };
        let listed: Vec<String> = record.inputs.iter().map(|input| input.named.clone()).collect();
        if listed != names {
            return Err(bad(format!("`inputs` lists {listed:?}, but the recipe names {names:?}")));
        }
        Ok(Self { what, beside: PathBuf::new(), again: Some(record) })
    }

    /// The merge that is made again, where this is the record of one.
    pub fn record(&self) -> Option<&Record> {
        self.again.as_ref()
    }

    /// Opens the inputs, the base first. Those of a record are looked for where they were, and if they are not there any
    /// more, by the recipe's name from the working folder.
    pub fn open(&self, options: &OpenOptions<'_>) -> Result<Vec<NamedInput>, MergeError> {
        if let Some(record) = &self.again {
            return record.inputs.iter().map(|input| reopen(input, options)).collect();
        }
        let (names, checkpoints): (Vec<String>, Vec<Checkpoint>) = match &self.what {
            What::Recipe(recipe) => {
                let inputs = Inputs::open(recipe, &self.beside, options)?;
                (recipe.names().cloned().collect(), inputs.all().cloned().collect())
            }
            What::Mergekit { recipe, .. } => (recipe.names()?, recipe.open(options)?),
        };
        let named = |(named, checkpoint)| NamedInput { named, checkpoint };
        Ok(names.into_iter().zip(checkpoints).map(named).collect())
    }

    /// Checks the recipe and the opened inputs against each other, from their headers.
    pub fn plan(&self, inputs: &[NamedInput], watch: &dyn Observer) -> Result<Plan, MergeError> {
        let mut checkpoints = inputs.iter().map(|input| input.checkpoint.clone());
        match &self.what {
            What::Recipe(recipe) => {
                let base = recipe.base.as_ref().and_then(|_| checkpoints.next());
                let inputs = Inputs { base, models: checkpoints.collect() };
                Plan::new(&self.drawn(recipe), &inputs, watch)
            }
            What::Mergekit { recipe, seed } => recipe.plan(*seed, &checkpoints.collect::<Vec<_>>(), watch),
        }
    }

    /// Makes sure that the inputs are those of the record, by content; reads all their weights once. Without a record there
    /// is nothing to check.
    pub fn verify(&self, inputs: &[NamedInput]) -> Result<(), MergeError> {
        for (recorded, input) in self.again.iter().flat_map(|record| &record.inputs).zip(inputs) {
            let found = RecordedInput::of(input)?;
            let changed = |what: &'static str, recorded_as: Digest, found_as: Digest| {
                if recorded_as == found_as {
                    return Ok(());
                }
                let (named, place) = (input.named.clone(), found.place.clone());
                let (recorded, found) = (recorded_as.hex().into(), found_as.hex().into());
                Err(MergeError::InputChanged { named, place, what, recorded, found })
            };
            changed("weights", recorded.weights, found.weights)?;
            changed("config and tokenizer", recorded.companions, found.companions)?;
        }
        Ok(())
    }

    /// What was asked for and drawn.
    pub fn made_from(&self) -> Result<MadeFrom, MergeError> {
        Ok(match &self.what {
            What::Recipe(asked) => {
                let drawn = self.drawn(asked);
                let (direction, coefficients) = (drawn.direction()?, drawn.coefficients()?);
                MadeFrom::Recipe { asked: asked.clone(), direction, coefficients }
            }
            What::Mergekit { recipe, seed } => {
                MadeFrom::Mergekit { text: recipe.text().to_owned(), seed: *seed }
            }
        })
    }

    /// The recipe with the direction that was drawn when the merge was first made.
    fn drawn(&self, recipe: &Recipe) -> Recipe {
        let mut recipe = recipe.clone();
        if let Some(Record { made_from: MadeFrom::Recipe { direction: Some(weights), .. }, .. }) = &self.again
        {
            recipe.proportion = Some(DirectionLaw::Fixed { weights: weights.clone() });
        }
        recipe
    }
}

/// Opens an input of a record.
fn reopen(input: &RecordedInput, options: &OpenOptions<'_>) -> Result<NamedInput, MergeError> {
    let open = |text: &str| Checkpoint::open(&text.parse::<ModelRef>()?, options);
    let checkpoint = open(&input.place).or_else(|first: CheckpointError| {
        let found = open(&input.named).map_err(|_| first)?;
        let text = format!("`{}` cannot be opened; `{}` is taken instead", input.place, input.named);
        options.watch.observe(&Event::Note { text: &text });
        Ok::<_, CheckpointError>(found)
    })?;
    Ok(NamedInput { named: input.named.clone(), checkpoint })
}
