//! A model whose embedding and head have other rows, read row by row.

use super::{by_rows, embedding};
use crate::checkpoint::{CheckpointError, Manifest, Span, TensorInfo, TensorSource};
use crate::digest::{Canonical, Digest};
use crate::ids::TensorName;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// Where one row comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// This row of this model.
    Of(u32, u32),
    /// The mean of such rows.
    MeanOf(Box<[(u32, u32)]>),
    /// All zeros.
    Zero,
    /// The mean of the rows at the beginning of the new table.
    Mean,
}

impl Row {
    /// The model and the row, where it is one.
    pub(super) fn place(&self) -> Option<(u32, u32)> {
        match self {
            Self::Of(model, row) => Some((*model, *row)),
            _ => None,
        }
    }
}

/// One of several models with a new table of rows.
pub(super) struct Remapped {
    models: Arc<[Arc<dyn TensorSource>]>,
    own: usize,
    rows: Vec<Row>,
    /// How many rows, from the first, [`Row::Mean`] is the mean of.
    mean_of: usize,
    manifest: Manifest,
    means: BTreeMap<TensorName, OnceLock<Vec<f32>>>,
}

/// Elements that are read at once while a mean is taken.
const CHUNK: usize = 1 << 16;

impl Remapped {
    pub(super) fn new(
        models: Arc<[Arc<dyn TensorSource>]>,
        own: usize,
        rows: Vec<Row>,
        mean_of: usize,
    ) -> Self {
        let manifest: Manifest = models[own]
            .manifest()
            .iter()
            .map(|(name, info)| {
                let mut info = info.clone();
                if by_rows(name)
                    && let Some(first) = info.shape.first_mut()
                {
                    *first = rows.len();
                }
                (name.clone(), info)
            })
            .collect();
        let means =
            manifest.iter().filter(|(name, _)| by_rows(name)).map(|(n, _)| (n.clone(), OnceLock::new()));
        let means = means.collect();
        Self { models, own, rows, mean_of, manifest, means }
    }

    fn info(&self, name: &TensorName) -> Result<&TensorInfo, CheckpointError> {
        self.manifest.get(name).ok_or_else(|| CheckpointError::NoTensor { tensor: name.clone() })
    }

    /// Elements of rows `row ..` of a model; where its head is tied the embedding stands for it.
    fn from(
        &self,
        (model, row): (u32, u32),
        name: &TensorName,
        width: usize,
        offset: usize,
        out: &mut [f32],
    ) -> Result<(), CheckpointError> {
        let model = &self.models[model as usize];
        let span = Span { start: row as usize * width + offset, len: out.len() };
        match model.manifest().get(name) {
            Some(_) => model.read(name, span, out),
            None => model.read(&embedding(), span, out),
        }
    }

    /// The mean of the first rows, in f64, rounded once to f32.
    fn mean(&self, name: &TensorName, width: usize) -> Result<&[f32], CheckpointError> {
        let cell = self.means.get(name).ok_or_else(|| CheckpointError::NoTensor { tensor: name.clone() })?;
        if let Some(known) = cell.get() {
            return Ok(known);
        }
        let mut sums = vec![0.0f64; width];
        let at_once = (CHUNK / width.max(1)).max(1);
        for first in (0..self.mean_of).step_by(at_once) {
            let rows = at_once.min(self.mean_of - first);
            let mut values = vec![0.0; rows * width];
            self.read(name, Span { start: first * width, len: rows * width }, &mut values)?;
            for row in values.chunks(width.max(1)) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
            }
        }
        let n = self.mean_of as f64;
        Ok(cell.get_or_init(|| sums.iter().map(|s| (s / n) as f32).collect()))
    }
}

impl TensorSource for Remapped {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn read(&self, name: &TensorName, span: Span, out: &mut [f32]) -> Result<(), CheckpointError> {
        if !by_rows(name) {
            return self.models[self.own].read(name, span, out);
        }
        let width: usize = self.info(name)?.shape.iter().skip(1).product();
        let mut done = 0;
        while done < out.len() {
            let (row, offset) = ((span.start + done) / width, (span.start + done) % width);
            let left = out.len() - done;
            // Neighbours stay neighbours in most of a vocabulary: they are read together.
            let mut end = row + 1;
            if let Some((model, first)) = self.rows[row].place() {
                while (end - row) * width - offset < left
                    && self.rows.get(end) == Some(&Row::Of(model, first + (end - row) as u32))
                {
                    end += 1;
                }
            }
            let part = &mut out[done..][..left.min((end - row) * width - offset)];
            match &self.rows[row] {
                Row::Of(model, first) => self.from((*model, *first), name, width, offset, part)?,
                Row::Zero => part.fill(0.0),
                Row::Mean => part.copy_from_slice(&self.mean(name, width)?[offset..][..part.len()]),
                Row::MeanOf(places) => {
                    let mut sums = vec![0.0f64; part.len()];
                    for place in places {
                        self.from(*place, name, width, offset, part)?;
                        sums.iter_mut().zip(&*part).for_each(|(sum, x)| *sum += f64::from(*x));
                    }
                    let n = places.len() as f64;
                    part.iter_mut().zip(sums).for_each(|(x, sum)| *x = (sum / n) as f32);
                }
            }
            done += part.len();
        }
        Ok(())
    }

    /// By the models and the table of rows.
    fn digest(&self) -> Result<Digest, CheckpointError> {
        let mut form = Canonical::new("remapped/1").number("own", self.own as u64);
        for model in self.models.iter() {
            form = form.digest("model", model.digest()?);
        }
        form = form.number("mean of", self.mean_of as u64);
        for row in &self.rows {
            form = match row {
                Row::Of(model, row) => form.number("of", u64::from(*model) << 32 | u64::from(*row)),
                Row::Zero => form.text("row", "zero"),
                Row::Mean => form.text("row", "mean"),
                Row::MeanOf(places) => form.text("row", &format!("{places:?}")),
            };
        }
        Ok(form.finish())
    }
}
