//! A model on a device, as the scheduler wants it.

use super::model::{self, Shape};
use super::plan::Plan;
use super::slots::{Place, Slots};
use super::weights::Weights;
use crate::checkpoint::{ModelConfig, TensorSource};
use crate::completion::Breakdown;
use crate::engine::device::Device;
use crate::engine::error::EngineError;
use crate::engine::llama::{Piece, Rope};
use crate::engine::logits::Logits;
use crate::engine::runner::Runner;
use crate::engine::serve::Engine;
use crate::engine::settings::EngineSettings;
use candle_core::{DType, Tensor};

/// A model on a device.
#[derive(Debug)]
pub(crate) struct Machine {
    device: Device,
    shape: Shape,
    vocab: usize,
    /// None after an exchange that failed.
    weights: Option<Weights>,
    slots: Slots,
    rope: Rope,
    /// `[wanted, vocab]` of the last step.
    logits: Vec<f32>,
    /// The piece that each of them belongs to, and where its sequence broke down.
    owners: Vec<(usize, Option<Breakdown>)>,
    tokens_run: u64,
}

impl Machine {
    /// Reads the weights that `config` describes; names and shapes were checked.
    pub(crate) fn load(
        device: &Device,
        source: &dyn TensorSource,
        config: &ModelConfig,
        settings: &EngineSettings,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            device: device.clone(),
            shape: Shape::of(config, device.dtype),
            vocab: config.vocab_size,
            weights: Some(Weights::load(device, source, config)?),
            slots: Slots::new(device, config, settings.kv_tokens.0, settings.max_sequences.get()),
            rope: Rope::new(config),
            logits: Vec::new(),
            owners: Vec::new(),
            tokens_run: 0,
        })
    }

    /// Exchanges the weights; on an error there are none.
    pub(crate) fn exchange(
        &mut self,
        source: &dyn TensorSource,
        config: &ModelConfig,
    ) -> Result<(), EngineError> {
        self.slots.forget();
        self.weights = None;
        self.weights = Some(Weights::load(&self.device, source, config)?);
        Ok(())
    }

    /// What answers are comparable with.
    pub(crate) fn numerics(&self) -> &'static str {
        if self.device.inner.is_cpu() { "m3-candle-cpu-f32/1" } else { Engine::NUMERICS_GPU }
    }

    /// Where each piece of a step broke down, whose rows are not finite: the step again, with a look behind every layer.
    fn diagnose(&self, weights: &Weights, plan: &Plan) -> Result<Vec<Option<Breakdown>>, EngineError> {
        let mut places = vec![None; plan.rows.len()];
        model::run(self.shape, weights, &self.slots, plan, &mut |place, residual| {
            let sums = sums(residual)?;
            for (found, rows) in places.iter_mut().zip(&plan.rows) {
                if found.is_none() && sums[rows.clone()].iter().any(|sum| !sum.is_finite()) {
                    *found = Some(place);
                }
            }
            Ok(())
        })?;
        Ok(places)
    }
}

/// The sum of each row, on the host: not finite if a number of the row is not.
fn sums(rows: &Tensor) -> candle_core::Result<Vec<f32>> {
    rows.sum(1)?.to_dtype(DType::F32)?.to_vec1()
}

impl Runner for Machine {
    type Slot = Place;

    fn take(&mut self, positions: usize, prefix: &[u32]) -> Result<Option<Place>, EngineError> {
        self.rope.reach(positions.max(1));
        Ok(self.slots.take(positions, prefix)?)
    }

    fn give_back(&mut self, place: Place) {
        self.slots.give_back(place);
    }

    fn copy(&mut self, to: &mut Place, from: &Place, positions: usize) -> Result<(), EngineError> {
        Ok(self.slots.copy(to, from, positions)?)
    }

    fn step(&mut self, mut pieces: Vec<Piece<'_, Place>>) -> Result<(), EngineError> {
        self.owners.clear();
        self.logits.clear();
        if pieces.is_empty() {
            return Ok(());
        }
        let singles: Vec<u64> = pieces.iter().filter(|p| p.tokens.len() == 1).map(|p| p.kv.key).collect();
        self.slots.gather(&singles)?;
        let plan = Plan::new(&self.device, self.shape.heads, &self.rope, &self.slots, &pieces)?;
        let weights = self.weights.as_ref().ok_or(EngineError::NoWeights)?;
        let residual = model::run(self.shape, weights, &self.slots, &plan, &mut |_, _| Ok(()))?;
        let logits = plan.wanted.as_ref();
        let logits = logits.map(|wanted| model::logits(self.shape, weights, &residual, wanted));
        // Everything is on its way: only now is it waited for.
        let sums = sums(&residual)?;
        if let Some(logits) = logits {
            self.logits = logits?.flatten_all()?.to_vec1()?;
        }
        self.tokens_run += pieces.iter().map(|piece| piece.tokens.len() as u64).sum::<u64>();
        let broken = |rows: &std::ops::Range<usize>| sums[rows.clone()].iter().any(|sum| !sum.is_finite());
        if plan.rows.iter().any(broken) {
            let places = self.diagnose(weights, &plan)?;
            for (piece, place) in pieces.iter_mut().zip(places) {
                if place.is_some() {
                    // Who shares this place of memory next must not find what broke.
                    self.slots.sweep(piece.kv)?;
                    piece.kv.broken = piece.kv.broken.or(place);
                }
            }
        }
        for piece in &mut pieces {
            piece.kv.tokens.extend_from_slice(piece.tokens);
        }
        self.owners.extend(plan.owners.iter().map(|&piece| (piece, pieces[piece].kv.broken)));
        for (logits, (_, broken)) in self.logits.chunks_exact_mut(self.vocab).zip(&self.owners) {
            if broken.is_some() {
                logits.fill(f32::NAN);
            }
        }
        Ok(())
    }

    fn logits(&self) -> impl Iterator<Item = (usize, (Logits<'_>, Option<Breakdown>))> {
        let owners = self.owners.iter();
        owners
            .zip(self.logits.chunks_exact(self.vocab))
            .map(|(&(piece, broken), logits)| (piece, (Logits::All(logits), broken)))
    }

    /// A place remembers that its sequence broke down, which a guess must not bring about.
    fn cost_of_token(&self) -> Option<f64> {
        None
    }

    fn tokens_run(&self) -> u64 {
        self.tokens_run
    }
}
