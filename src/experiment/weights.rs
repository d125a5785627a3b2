//! Weights that are known before they are there.

use crate::checkpoint::{Checkpoint, CheckpointError, Manifest, TensorSource};
use crate::digest::Digest;
use crate::event::Observer;
use crate::merge::{MergedView, Plan, Surveys};
use std::sync::{Arc, Mutex, PoisonError};

/// The weights of a model. What they are is known at once; a merge is surveyed when somebody opens it, once.
#[derive(Clone)]
pub struct Weights(Kind);

#[derive(Clone)]
enum Kind {
    Stored(Arc<Checkpoint>),
    Merge(Arc<Merge>),
}

struct Merge {
    plan: Plan,
    manifest: Manifest,
    surveys: Option<Surveys>,
    view: Mutex<Option<Arc<MergedView>>>,
}

impl Weights {
    /// Those of a checkpoint.
    pub(super) fn stored(checkpoint: &Checkpoint) -> Self {
        Self(Kind::Stored(Arc::new(checkpoint.clone())))
    }

    /// Those of a merge.
    pub(super) fn merge(plan: Plan, surveys: Option<&Surveys>) -> Self {
        let (manifest, surveys) = (plan.manifest(), surveys.cloned());
        Self(Kind::Merge(Arc::new(Merge { plan, manifest, surveys, view: Mutex::default() })))
    }

    /// Names, shapes and element types.
    pub fn manifest(&self) -> &Manifest {
        match &self.0 {
            Kind::Stored(checkpoint) => checkpoint.manifest(),
            Kind::Merge(merge) => &merge.manifest,
        }
    }

    /// What they are, by content: see [`TensorSource::digest`].
    pub fn digest(&self) -> Result<Digest, CheckpointError> {
        match &self.0 {
            Kind::Stored(checkpoint) => checkpoint.digest(),
            Kind::Merge(merge) => merge.plan.digest(),
        }
    }

    /// The weights to read. A merge finds first what must be known of whole tensors and of the whole model, and tells
    /// `watch` how far it is.
    pub fn open(&self, watch: &dyn Observer) -> Result<Arc<dyn TensorSource>, CheckpointError> {
        match &self.0 {
            Kind::Stored(checkpoint) => Ok(Arc::<Checkpoint>::clone(checkpoint)),
            Kind::Merge(merge) => {
                let mut view = merge.view.lock().unwrap_or_else(PoisonError::into_inner);
                let open = match view.take() {
                    Some(open) => open,
                    None => Arc::new(merge.plan.survey(merge.surveys.as_ref(), watch)?),
                };
                Ok(Arc::<MergedView>::clone(view.insert(open)))
            }
        }
    }
}
