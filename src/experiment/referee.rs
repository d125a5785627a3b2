//! Who judges for a table: an annotator with a checkpoint, and the fixed answers that models are compared with.

use super::{EngineChoice, ExperimentError, Judging, Lab, Manifest, Model, check_references, pairs};
use crate::bench::Item;
use crate::checkpoint::OpenOptions;
use crate::evaluate::Evaluation;
use crate::judge::{Annotation, Annotator, Figures, OutputsFile, write_verdicts};
use crate::report::Measured;

/// A judge that is ready to be asked.
pub(super) struct Referee {
    annotator: Annotator,
    model: Model,
    reference: OutputsFile,
}

impl Referee {
    /// Opens the judge of a suite, if it has one.
    pub(super) fn open(
        manifest: &Manifest,
        options: &OpenOptions<'_>,
    ) -> Result<Option<Self>, ExperimentError> {
        let Some(asked) = &manifest.judge else { return Ok(None) };
        let annotator = Annotator::open(&asked.annotator)?;
        if !annotator.by_likelihood() {
            let needs = "asks a chat model; the judge of a suite is a checkpoint, which needs an annotator by log_likelihood";
            return Err(ExperimentError::WrongJudge { annotator: annotator.name, needs });
        }
        let model = Model::open(&asked.checkpoint.parse()?, options)?;
        Ok(Some(Self { annotator, model, reference: OutputsFile::read(&asked.reference)? }))
    }

    /// Makes sure that every item has an answer to compare with. `field` is that with the instruction.
    pub(super) fn check(&self, field: &str, items: &[Item]) -> Result<(), ExperimentError> {
        Ok(check_references(field, items, Some(&self.reference))?)
    }

    /// The win rate of a model's answers. The verdicts are left in the run's folder.
    pub(super) fn judge(
        &self,
        lab: &Lab<'_>,
        field: &str,
        items: &[Item],
        evaluation: &Evaluation,
    ) -> Result<Option<Measured>, ExperimentError> {
        // Two rows may be the same merge, and have the same run: its name is that of the model.
        let model = evaluation.run.as_str();
        let pairs = pairs(field, items, &evaluation.answers, Some(&self.reference), model)?;
        let (engine, order) = (EngineChoice::default(), self.annotator.order());
        let identity = engine.identity(&self.model)?;
        let mut judging =
            Judging::new(&self.annotator, order, &pairs, &identity, lab.replies()?, lab.watch());
        judging.ask_likelihoods(&mut || Ok(engine.load(&self.model, lab.watch())?))?;
        let rows = judging.annotations();
        let figures = Figures::of(&rows.iter().map(Annotation::judged).collect::<Vec<_>>());
        write_verdicts(
            &lab.folder(evaluation).join("judge").join(&self.annotator.name),
            &rows,
            &figures,
            None,
        )?;
        let measured = |(mean, ci95)| Measured {
            mean,
            n: figures.n_total,
            ci95,
            invalid: 0,
            unscored: figures.unscored,
            run: evaluation.run.clone(),
        };
        Ok(figures.win_rate.zip(figures.ci95).map(measured))
    }

    /// What stands below a table with its figures.
    pub(super) fn note(&self) -> String {
        format!(
            "AlpacaEval here: win rate in per cent of each model's answers over those of `{}`, by the annotator {} in both \
             orders, equal answers a draw; the interval is normal. {}",
            self.reference.generator(),
            self.annotator.name,
            self.annotator.notice().unwrap_or_default()
        )
        .trim_end()
        .to_owned()
    }
}
