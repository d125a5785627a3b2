//! Who judges, as the flags of `judge` and `eval` say.

use super::args::{OrderName, Server};
use super::failure::Failure;
use super::output::Output;
use super::settings::Settings;
use crate::chat::Chat;
use crate::checkpoint::ModelRef;
use crate::event::{Event, Observer};
use crate::experiment::{EngineChoice, ExperimentError, Judging, Model};
use crate::judge::{Annotation, Annotator, Order, Pair, PositionBias};
use crate::remote::{Remote, RemoteSettings};
use crate::runs::Replies;
use std::path::Path;

/// Points of bias from which a judge's verdicts say more about the order than about the answers.
const BIASED: f64 = 25.0;

/// What the flags say.
pub(super) struct Asked<'a> {
    /// The annotator's name or folder.
    pub(super) annotator: &'a str,
    /// The checkpoint that compares likelihoods.
    pub(super) checkpoint: Option<&'a ModelRef>,
    /// The model that a server is asked for, and the flag that names it.
    pub(super) model: Option<&'a str>,
    pub(super) model_flag: &'static str,
    /// Where that is.
    pub(super) server: &'a Server,
    /// In which order answers are shown.
    pub(super) order: Option<OrderName>,
}

/// Who is asked.
enum Witness {
    /// A checkpoint in this process.
    Checkpoint(Box<Model>),
    /// A server, and whether its prices are known.
    Server(Box<RemoteSettings>, bool),
}

/// A judge that is ready to be asked.
pub(super) struct Judge {
    pub(super) annotator: Annotator,
    order: Order,
    witness: Witness,
}

impl Judge {
    /// Opens what the flags name. A checkpoint is opened here and loaded when something is asked.
    pub(super) fn open(asked: &Asked<'_>, settings: &Settings, output: &Output) -> Result<Self, Failure> {
        let annotator = Annotator::open(asked.annotator)?;
        let order = match asked.order {
            Some(OrderName::Both) => Order::Both,
            Some(OrderName::Seeded) => Order::Seeded,
            None => annotator.order(),
        };
        if let Some(checkpoint) = asked.checkpoint {
            if !annotator.by_likelihood() {
                let needs = "asks a chat model; name its server with --base-url";
                return Err(ExperimentError::WrongJudge { annotator: annotator.name, needs }.into());
            }
            let model = Model::open(checkpoint, &settings.open(output))?;
            return Ok(Self { annotator, order, witness: Witness::Checkpoint(Box::new(model)) });
        }
        let named = asked.model.is_some() || asked.server.base_url.is_some();
        if let Some(name) = annotator.checkpoint().filter(|_| !named) {
            let folder = match annotator.folder() {
                Some(folder) => folder,
                None => settings.home()?,
            };
            let reference = ModelRef::parse_in(name, folder).map_err(ExperimentError::from)?;
            let model = Model::open(&reference, &settings.open(output))?;
            return Ok(Self { annotator, order, witness: Witness::Checkpoint(Box::new(model)) });
        }
        let flag = asked.model_flag;
        let model = asked.model.or(annotator.model()).ok_or_else(|| {
            let how = if annotator.by_likelihood() {
                format!("name a checkpoint at hand with --judge, or a server with --base-url and {flag}")
            } else {
                format!("name the one to ask with {flag}")
            };
            Failure::request(format!("the annotator `{}` is for any model: {how}", annotator.name))
        })?;
        let price = annotator.price().filter(|_| asked.model.is_none()).map(|p| (p.input, p.output));
        let server = Settings::server(asked.server, model, price)?;
        let priced = asked.server.price.is_some() || price.is_some();
        Ok(Self { annotator, order, witness: Witness::Server(Box::new(server), priced) })
    }

    /// Puts the pairs to it. Verdicts, and what they cost in US dollars where that is known.
    pub(super) fn judge(
        &self,
        pairs: &[Pair],
        replies: Replies,
        output: &Output,
    ) -> Result<(Vec<Annotation>, Option<f64>), Failure> {
        let judging =
            |identity: &str| Judging::new(&self.annotator, self.order, pairs, identity, replies, output);
        let (server, priced) = match &self.witness {
            Witness::Checkpoint(model) => {
                let mut judging = judging(&EngineChoice::default().identity(model)?);
                judging.ask_likelihoods(&mut || Ok(EngineChoice::default().load(model, output)?))?;
                return Ok((judging.annotations(), None));
            }
            Witness::Server(server, priced) => (server, *priced),
        };
        let limit = server.budget.limit;
        let mut remote = Remote::new(server.as_ref().clone(), output);
        let mut judging = judging(&remote.identity());
        if self.annotator.by_likelihood() {
            judging.ask_likelihoods(&mut || Ok(Box::new(remote.clone())))?;
        } else {
            let open = judging.open_chats();
            let most = remote.most_cost(&open);
            if priced && !open.is_empty() {
                output.note(&format!(
                    "{} questions are open; they cost at most about {most:.2} US$",
                    open.len()
                ));
            }
            if let Some(limit) = limit.filter(|limit| most > *limit) {
                return Err(Failure::request(format!(
                    "{} questions are open, which could cost about {most:.2} US$, and --max-cost allows {limit:.2}; allow \
                     more, or ask about fewer instructions with --limit",
                    open.len()
                )));
            }
            judging.ask_chat(&mut remote)?;
        }
        Ok((judging.annotations(), priced.then(|| remote.spent())))
    }
}

/// How much the judge prefers what it is shown first; a warning if that is more than it says about the answers.
pub(super) fn position_bias(rows: &[Annotation], output: &Output) -> Option<PositionBias> {
    let bias = PositionBias::of(rows)?;
    if bias.points.abs() >= BIASED {
        let text = format!(
            "the judge prefers the answer shown {} by {:.1} points: its verdicts are about the order, not the answers",
            if bias.points > 0.0 { "first" } else { "second" },
            bias.points.abs()
        );
        output.observe(&Event::Warning { text: &text });
    }
    Some(bias)
}

/// Where the files about one judgement are, unless the person says it.
pub(super) fn folder(out: &Path, generator: &str, annotator: &Annotator) -> std::path::PathBuf {
    out.join("judge").join(file_name(&format!("{generator}-{}", annotator.name)))
}

/// A name that is one part of a path.
fn file_name(text: &str) -> String {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.chars().map(|c| if fine(c) { c } else { '_' }).collect::<String>().trim_start_matches('.').to_owned()
}
