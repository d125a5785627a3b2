//! The flags, as typed.

use crate::checkpoint::ModelRef;
use crate::dtype::DType;
use crate::engine::DeviceChoice;
use crate::merge::{Combine, Rescale, Scope, Vocabulary};
use crate::units::{Alpha, Density, DropRate, Lambda, Scale, TokenCount};
use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use serde::de::{DeserializeOwned, IntoDeserializer};
use std::num::NonZeroUsize;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 the request is wrong; 2 unexpected fault; 3 done, but some items could not be scored;
4 stopped (the same command goes on from there).";

/// Merge Llama fine-tunes, and measure what the merge is worth.
#[derive(Debug, Parser)]
#[command(name = "m3", version, after_help = AFTER_HELP)]
pub(super) struct Args {
    /// No progress on stderr.
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,
    /// The folder that holds experiments/, models/ and datasets/ [default: found upwards of the working folder, then
    /// of the program].
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) home: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Reproduce a table or a figure of the paper.
    Reproduce(Reproduce),
    /// Evaluate a model, or a merge that nobody has written, on benchmarks.
    Eval(Eval),
    /// Look for the direction and the magnitude that merge best.
    Search(Search),
    /// Attack the prompt of a benchmark: which prompt breaks the model, and how much does it hurt?
    Attack(Box<Attack>),
    /// Score answers that were generated elsewhere.
    Score(Score),
    /// Let a judge say which of two models' answers are better, as alpaca_eval does.
    Judge(Judge),
    /// Compare two models on the same items.
    Compare(Compare),
    /// List, show, clear and export what earlier commands have kept.
    Runs(Runs),
    /// List, show, check and begin benchmarks.
    Bench(Bench),
    /// Say which data the benchmarks need and whether it is there, or fetch it.
    Data(Data),
    /// Write a merge as a Hugging Face folder: of a recipe file, or of a recipe on flags.
    Merge(Merge),
    /// Say what models are, and whether they fit together; or what a recipe will do, and what it will cost.
    Inspect(Inspect),
    /// Continue prompts.
    Generate(Generate),
    /// Say what works on this machine, what is missing, and how to get it.
    Doctor(Doctor),
}

#[derive(Debug, Group)]
pub(super) struct Reproduce {
    /// Which tables and figures, or all of them.
    #[arg(required = true, value_name = "TABLE")]
    pub(super) tables: Vec<TableName>,
    /// Which suite: a name in experiments/, or a file.
    #[arg(long, default_value = "tiny")]
    pub(super) suite: String,
    /// Say what the table will take (models, data, rows, time), and do nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// The masked language model of table6: a folder of a BertForMaskedLM, or its name on the hub [default: the embedded one].
    #[arg(long, value_name = "MODEL", value_parser = model)]
    pub(super) masked_lm: Option<ModelRef>,
    #[command(flatten)]
    pub(super) running: Running,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TableName {
    /// Single models and pairs, task arithmetic without and with M³.
    Table1,
    /// StressTest on the prompts of SST-2 and CoLA.
    Table2,
    /// DeepWordBug on the prompts of SST-2 and CoLA.
    Table5,
    /// BERT-Attack on the prompts of SST-2 and CoLA.
    Table6,
    /// Pairs by averages, task arithmetic and TIES with M³, with DARE, and with both.
    Table7,
    /// Three models merged: the fixed direction and M³.
    Figure2,
    /// Three models merged in several orders of dominance.
    Figure3,
    /// Three models merged: shares over p, and the chosen (p, s) against plain averaging.
    Figure4,
    /// Pairs on what neither model was fine-tuned for.
    Figure5,
    /// A pair over λ and s, with the candidates of the search.
    Landscape,
    /// Every table and figure, and a page with all of them.
    All,
}

#[derive(Debug, Group)]
pub(super) struct Search {
    /// The search: base, models, objective, space and strategy (docs/searching.md).
    pub(super) file: PathBuf,
    /// Folder with the real data sets [default: the embedded ones].
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    #[command(flatten)]
    pub(super) running: Running,
}

#[derive(Debug, Group)]
pub(super) struct Eval {
    /// A model or a recipe file: a folder (safetensors or PyTorch's .bin), a .gguf file, ORGANISATION/NAME of a hub;
    /// each with @REVISION (on a hub) and +ADAPTER (a LoRA).
    #[arg(value_parser = model)]
    pub(super) model: ModelRef,
    /// Benchmarks, separated by commas: names, or folders with a benchmark.toml.
    #[arg(long, value_delimiter = ',', required = true, value_name = "NAMES")]
    pub(super) bench: Vec<String>,
    /// Folder with the real data sets [default: the embedded ones].
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Which part of the data.
    #[arg(long, value_enum, default_value_t = SplitName::Test)]
    pub(super) split: SplitName,
    /// Whose rules decide what is right.
    #[arg(long, value_enum, default_value_t)]
    pub(super) profile: ProfileName,
    /// At most so many items of each benchmark, from the start.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
    /// Prompts are what a user says, in the model's own chat template.
    #[arg(long)]
    pub(super) chat: bool,
    /// What the system says before the user does; only with --chat, or where a card has a chat.
    #[arg(long, value_name = "TEXT")]
    pub(super) system: Option<String>,
    /// Questions go behind so many solved examples; for benchmarks whose card says where these are (`fewshot_config`).
    #[arg(long, value_name = "N")]
    pub(super) num_fewshot: Option<usize>,
    #[command(flatten)]
    pub(super) running: Running,
    #[command(flatten)]
    pub(super) judging: JudgingFlags,
    #[command(flatten)]
    pub(super) server: Server,
}

/// Who judges the answers of alpaca_eval.
#[derive(Debug, Group)]
#[command(next_help_heading = "A judge")]
pub(super) struct JudgingFlags {
    /// Who judges answers that no rule can score: an annotator, as `m3 judge` takes it.
    #[arg(long, value_name = "NAME")]
    pub(super) annotator: Option<String>,
    /// The answers that the model's are compared with, as `m3 judge` takes them [default: those in the data].
    #[arg(long, value_name = "FILE", requires = "annotator")]
    pub(super) reference: Option<PathBuf>,
    /// The checkpoint that an annotator by likelihood compares with, in this process.
    #[arg(long = "judge", value_name = "MODEL", value_parser = model, requires = "annotator")]
    pub(super) checkpoint: Option<ModelRef>,
    /// The address of the judge's server, where --base-url is that of the model's [default: --base-url].
    #[arg(long, value_name = "URL", requires = "annotator", conflicts_with = "checkpoint")]
    pub(super) judge_url: Option<String>,
    /// The model that the judge's server is asked for [default: the annotator's].
    #[arg(long, value_name = "NAME", requires = "annotator", conflicts_with = "checkpoint")]
    pub(super) judge_model: Option<String>,
    /// In which order the judge is shown the answers [default: as the annotator says, which is both for those that ship].
    #[arg(long, value_enum, requires = "annotator")]
    pub(super) order: Option<OrderName>,
}

/// A server that speaks OpenAI's protocol: vLLM, SGLang, TGI, llama.cpp, OpenAI's own.
#[derive(Clone, Debug, Group)]
#[command(next_help_heading = "A server")]
pub(super) struct Server {
    /// The server's address, up to and without /chat/completions.
    #[arg(long, value_name = "URL")]
    pub(super) base_url: Option<String>,
    /// The environment variable that holds the server's key, if it needs one.
    #[arg(long, value_name = "NAME", default_value = "OPENAI_API_KEY")]
    pub(super) api_key_env: String,
    /// Requests under way at once.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) concurrency: u16,
    /// How often a request is tried before the command gives up.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) attempts: u32,
    /// Seconds that one request may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) timeout: u64,
    /// US dollars for a million tokens of prompts, and of replies.
    #[arg(long, value_name = "INPUT,OUTPUT", value_parser = price)]
    pub(super) price: Option<(f64, f64)>,
    /// Spend no more than this, in US dollars.
    #[arg(long, value_name = "US$", value_parser = dollars)]
    pub(super) max_cost: Option<f64>,
}

fn dollars(text: &str) -> Result<f64, String> {
    let number = text.trim().parse::<f64>().ok().filter(|x| x.is_finite() && *x >= 0.0);
    number.ok_or_else(|| "a number of US dollars is needed, 0 or more".into())
}

fn price(text: &str) -> Result<(f64, f64), String> {
    let (input, output) = text.split_once(',').ok_or("two numbers are needed: INPUT,OUTPUT")?;
    Ok((dollars(input)?, dollars(output)?))
}

#[derive(Debug, Group)]
pub(super) struct Judge {
    /// The benchmark whose rules count: alpaca_eval.
    #[arg(value_enum)]
    pub(super) benchmark: JudgedName,
    /// The model's answers: alpaca_eval's model_outputs.json.
    #[arg(long, value_name = "FILE", required_unless_present = "annotations")]
    pub(super) outputs: Option<PathBuf>,
    /// The answers that they are compared with.
    #[arg(long, value_name = "FILE", required_unless_present = "annotations")]
    pub(super) reference: Option<PathBuf>,
    /// Who judges: chatgpt_fn, weighted_alpaca_eval_gpt4_turbo, m3_chat, m3_likelihood, m3_tiny, or a folder with
    /// an annotator.toml.
    #[arg(long, value_name = "NAME", required_unless_present = "annotations")]
    pub(super) annotator: Option<String>,
    /// Ask nobody: sum up the verdicts in this annotations.json.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["outputs", "reference", "annotator", "checkpoint", "base_url"])]
    pub(super) annotations: Option<PathBuf>,
    /// The model that the server is asked for [default: the annotator's].
    #[arg(long, value_name = "NAME")]
    pub(super) model: Option<String>,
    /// The checkpoint that an annotator by likelihood compares with, in this process.
    #[arg(long = "judge", value_name = "MODEL", value_parser = model, conflicts_with = "base_url")]
    pub(super) checkpoint: Option<ModelRef>,
    /// In which order the answers are shown [default: as the annotator says, which is both for those that ship].
    #[arg(long, value_enum)]
    pub(super) order: Option<OrderName>,
    /// Judge what both files have, though some instructions are in one of them only.
    #[arg(long)]
    pub(super) partial: bool,
    /// At most so many instructions, from the start.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
    /// alpaca_eval's df_gamed.csv, for the length-controlled win rate of its leaderboards; `hub` fetches it. Without it a
    /// reduced model is fitted, and says so.
    #[arg(long, value_name = "FILE|hub", conflicts_with = "partial")]
    pub(super) gamed: Option<PathBuf>,
    /// Where the judge's replies are kept; the same folder resumes, and pays for nothing twice.
    #[arg(long, default_value = "m3-runs", value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Where model_outputs.json, reference_outputs.json, annotations.json and leaderboard.csv are written
    /// [default: OUT/judge/MODEL-ANNOTATOR].
    #[arg(long, value_name = "DIR")]
    pub(super) results: Option<PathBuf>,
    /// Machine-readable output on stdout.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) server: Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum JudgedName {
    AlpacaEval,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OrderName {
    /// Both orders, and the mean of their verdicts.
    Both,
    /// One, by alpaca_eval's coin.
    Seeded,
}

#[derive(Debug, Group)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Attack {
    #[command(subcommand)]
    pub(super) preview: Option<AttackCommand>,
    /// A model or a recipe file, as `m3 eval` takes it.
    #[arg(value_parser = model, required = true)]
    pub(super) model: Option<ModelRef>,
    /// Benchmarks whose answers are labels, separated by commas: names, or folders with a benchmark.toml.
    #[arg(long, value_delimiter = ',', required = true, value_name = "NAMES")]
    pub(super) bench: Vec<String>,
    #[command(flatten)]
    pub(super) attacking: Attacking,
    /// The prompt to attack, with `{content}` where the item's text goes [default: the benchmark's].
    #[arg(long, value_name = "TEXT")]
    pub(super) prompt: Option<String>,
    /// How it is told what the model answers.
    #[arg(long, value_enum, default_value_t)]
    pub(super) labels_by: LabelsByName,
    /// Ask at most so many prompts in each attack.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    pub(super) budget: Option<u64>,
    /// Folder with the real data sets [default: the embedded ones].
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Which part of the data.
    #[arg(long, value_enum, default_value_t = SplitName::Test)]
    pub(super) split: SplitName,
    /// At most so many items of each benchmark, from the start.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
    #[command(flatten)]
    pub(super) running: Running,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LabelsByName {
    /// The label in its answer, as the paper reads it.
    #[default]
    Generation,
    /// The first label in its answer, behind which it is stopped: cheaper, and another rule than the paper's.
    FirstLabel,
    /// The label with the largest log-likelihood after the prompt: cheaper, and no answer is invalid.
    Likelihood,
}

#[derive(Debug, Subcommand)]
pub(super) enum AttackCommand {
    /// Print the prompts that an attack would ask, as far as they can be known without a model.
    Preview(AttackPreview),
}

#[derive(Debug, Group)]
pub(super) struct AttackPreview {
    #[command(flatten)]
    pub(super) attacking: Attacking,
    /// The prompt to attack, with `{content}` where the item's text goes.
    #[arg(long, value_name = "TEXT")]
    pub(super) prompt: String,
    /// Machine-readable output on stdout.
    #[arg(long)]
    pub(super) json: bool,
}

/// What every attack has.
#[derive(Debug, Group)]
pub(super) struct Attacking {
    /// Attacks, separated by commas: stresstest, checklist, deepwordbug, textbugger, textfooler, bertattack, semantic.
    #[arg(long = "attack", value_delimiter = ',', required = true, value_name = "NAMES")]
    pub(super) attacks: Vec<String>,
    /// Whose rules: the paper's (three words, two candidates), or PromptBench's own.
    #[arg(long, value_enum, default_value_t)]
    pub(super) profile: RulesName,
    /// The labels that no attack changes, separated by commas [default: all labels of the benchmark].
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(super) labels: Vec<String>,
    /// Seed of what is drawn: the reference's numbers after the same seed.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(super) seed: u32,
    /// Synonyms for textbugger and textfooler: a file of word vectors, or a WordNet folder.
    #[arg(long, value_name = "PATH")]
    pub(super) synonyms: Option<PathBuf>,
    /// The masked language model of bertattack: a folder of a BertForMaskedLM, or its name on the hub [default: the embedded
    /// one].
    #[arg(long, value_name = "MODEL", value_parser = model)]
    pub(super) masked_lm: Option<ModelRef>,
    /// A BERT sentence encoder, for attacks that ask for candidates that mean the same [default: none].
    #[arg(long, value_name = "MODEL", value_parser = model)]
    pub(super) encoder: Option<ModelRef>,
    /// The prompts of semantic: a JSON object that has a list of prompts for each language.
    #[arg(long, value_name = "FILE")]
    pub(super) prompts: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SplitName {
    Validation,
    Test,
}

/// What every command that runs models has.
#[derive(Debug, Group)]
pub(super) struct Running {
    /// Where answers, verdicts and tables are kept; the same folder resumes.
    #[arg(long, default_value = "m3-runs", value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Machine-readable output on stdout.
    #[arg(long)]
    pub(super) json: bool,
    /// Who answers.
    #[arg(long, value_enum, default_value_t)]
    pub(super) engine: EngineName,
    #[command(flatten)]
    pub(super) device: DeviceFlag,
    #[command(flatten)]
    pub(super) limits: LimitFlags,
    #[command(flatten)]
    pub(super) confining: Confining,
}

/// Where the model runs.
#[derive(Debug, Group)]
pub(super) struct DeviceFlag {
    /// Where the model runs: cpu, cuda or cuda:N (in bfloat16, with other answers in near-ties), or auto: the first GPU, if this m3
    /// was built for GPUs and finds one.
    #[arg(long, value_name = "DEVICE", default_value_t, value_parser = device)]
    pub(super) device: DeviceChoice,
}

fn device(text: &str) -> Result<DeviceChoice, String> {
    text.parse()
}

/// How much of the machine the engine may take. None of it changes an answer.
#[derive(Debug, Group)]
pub(super) struct LimitFlags {
    /// Memory that the engine may take for weights, keys and values: bytes, or with a unit (MB, GiB …) [default: four fifths
    /// of what the machine has to spare, nine tenths of what is free on a GPU].
    #[arg(long = "memory", id = "engine_memory", value_name = "SIZE", value_parser = size)]
    pub(super) memory: Option<u64>,
    /// Sequences that are answered at once: a number, or `auto` for as many as the memory holds, up to 64.
    #[arg(long, value_name = "N", default_value = "auto", value_parser = batch)]
    pub(super) batch: Batch,
}

/// How many sequences are answered at once; none for as many as the memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch(pub(super) Option<NonZeroUsize>);

fn batch(text: &str) -> Result<Batch, String> {
    match text {
        "auto" => Ok(Batch(None)),
        number => number
            .parse()
            .map(|n| Batch(Some(n)))
            .map_err(|_| "a whole number of at least 1, or `auto`, is needed".into()),
    }
}

/// What every command that runs programs has.
#[derive(Debug, Group)]
pub(super) struct Confining {
    /// How programs that a model wrote are confined.
    #[arg(long, value_enum, default_value_t)]
    pub(super) sandbox: SandboxName,
    /// The Python 3 that runs them [default: the first on PATH].
    #[arg(long, value_name = "FILE")]
    pub(super) python: Option<PathBuf>,
    /// Needed for `--sandbox none`: programs that a model wrote then run with your rights.
    #[arg(long)]
    pub(super) i_accept_arbitrary_code_execution: bool,
}

#[derive(Debug, Group)]
pub(super) struct Score {
    /// The benchmark: a name (`m3 bench list`), or a folder with a benchmark.toml.
    #[arg(value_name = "BENCH")]
    pub(super) benchmark: String,
    /// The answers, one JSON object a line: `{"id", "output"}`, or `output` beside the fields of its item.
    #[arg(long, value_name = "FILE")]
    pub(super) outputs: PathBuf,
    /// Whose rules decide what is right.
    #[arg(long, value_enum, default_value_t)]
    pub(super) profile: ProfileName,
    /// Write a verdict a line into this file.
    #[arg(long, value_name = "FILE")]
    pub(super) verdicts: Option<PathBuf>,
    /// Folder with the real data sets [default: the embedded ones].
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Which part of the data.
    #[arg(long, value_enum, default_value_t = SplitName::Test)]
    pub(super) split: SplitName,
    /// Score what is there, though some items have no output.
    #[arg(long)]
    pub(super) partial: bool,
    /// Machine-readable output on stdout.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) confining: Confining,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum RulesName {
    /// The paper's program.
    #[default]
    Paper,
    /// PromptBench as it is.
    Standard,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ProfileName {
    /// The paper's program, bug for bug.
    #[default]
    Paper,
    /// The benchmark's own reference today.
    Standard,
    /// Both, side by side.
    Both,
}

#[derive(Debug, Group)]
pub(super) struct Compare {
    /// The first model: a run's folder (`OUT/runs/RUN`), or a file of `m3 score --verdicts`.
    pub(super) a: PathBuf,
    /// The second model.
    pub(super) b: PathBuf,
    /// The folder of a benchmark of one's own, if the runs are of one.
    #[arg(long, value_name = "FOLDER")]
    pub(super) benchmark: Option<String>,
    /// Folder with the real data sets that a run was evaluated on [default: the embedded ones].
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Which part of the data, where a run holds several.
    #[arg(long, value_enum, default_value_t = SplitName::Test)]
    pub(super) split: SplitName,
    /// Seed of the bootstrap's resamples.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(super) seed: u64,
    /// Machine-readable output on stdout, with every flipped item.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Group)]
pub(super) struct Runs {
    #[command(subcommand)]
    pub(super) command: RunsCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum RunsCommand {
    /// Say which runs there are: one for each model on each benchmark.
    List {
        #[command(flatten)]
        store: RunStore,
    },
    /// Say what a run is, and its figures over everything that it holds.
    Show {
        /// The run: the first digits of its key.
        #[arg(value_name = "KEY")]
        key: String,
        /// Each item with its answer and verdict, one JSON object a line.
        #[arg(long)]
        items: bool,
        #[command(flatten)]
        store: RunStore,
    },
    /// Say which runs nobody needs any more, or delete them. A run that another process has open stays.
    Gc {
        /// Only those that may go for these reasons, separated by commas [default: all].
        #[arg(long, value_enum, value_delimiter = ',', value_name = "REASONS")]
        only: Vec<ReasonName>,
        /// Delete them; without it nothing is changed.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        store: RunStore,
    },
    /// Each item of each run with its answer and verdict, one JSON object a line, on stdout or into a folder.
    Export {
        /// The runs: the first digits of their keys [default: all].
        #[arg(value_name = "KEY")]
        keys: Vec<String>,
        /// The folder to write, which must not exist: runs.json, and KEY.jsonl for each run.
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
        #[command(flatten)]
        store: RunStore,
    },
}

#[derive(Debug, Group)]
pub(super) struct RunStore {
    /// Where earlier commands have kept their runs.
    #[arg(long, default_value = "m3-runs", value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Machine-readable output on stdout.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum ReasonName {
    /// Begun and not brought to its end.
    Incomplete,
    /// Of another version of the benchmark, the scorer or the arithmetic: this m3 never reads it.
    OtherVersion,
    /// The same, and there is a complete run of today's versions.
    Superseded,
    /// It cannot be read.
    Damaged,
}

#[derive(Debug, Group)]
pub(super) struct Bench {
    #[command(subcommand)]
    pub(super) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// Say which benchmarks there are.
    List {
        /// Machine-readable output on stdout.
        #[arg(long)]
        json: bool,
    },
    /// Say what a benchmark asks, and what counts as right.
    Show {
        /// The benchmark: a name, or a folder with a benchmark.toml.
        benchmark: String,
    },
    /// Begin a benchmark: a folder with a card, a template, cases and some data, to be changed.
    New {
        /// The folder, which must not exist; the benchmark is named after it.
        folder: PathBuf,
    },
    /// Check a benchmark: its card and template, its data, its first prompts, and its hand-made cases.
    Check(BenchCheck),
}

#[derive(Debug, Group)]
pub(super) struct BenchCheck {
    /// The benchmark: a name, or a folder with a benchmark.toml.
    pub(super) benchmark: String,
    /// Folder with the real data sets [default: the embedded ones].
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Which part of the data.
    #[arg(long, value_enum, default_value_t = SplitName::Test)]
    pub(super) split: SplitName,
    /// Show so many prompts.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(super) prompts: usize,
    #[command(flatten)]
    pub(super) confining: Confining,
}

#[derive(Debug, Group)]
pub(super) struct Data {
    #[command(subcommand)]
    pub(super) command: DataCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum DataCommand {
    /// Say which data each benchmark needs, whether it is in a folder, and whether its bytes are the published ones.
    List {
        /// Benchmarks: names, or folders with a benchmark.toml [default: all that m3 knows].
        #[arg(value_name = "BENCH")]
        benchmarks: Vec<String>,
        /// The folder with the data sets.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Machine-readable output on stdout.
        #[arg(long)]
        json: bool,
    },
    /// Fetch data sets from a hub into a folder. What is there already is not fetched again.
    Pull {
        /// Benchmarks: names, or folders with a benchmark.toml [default: all that can be fetched].
        #[arg(value_name = "BENCH")]
        benchmarks: Vec<String>,
        /// The folder to put them into; the same that --data takes elsewhere.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Machine-readable output on stdout.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum EngineName {
    /// Our own, batched.
    #[default]
    Batched,
    /// The same with products in bfloat16: half the memory, several times the speed where the CPU multiplies it, other answers.
    Bf16,
    /// candle-transformers, one request at a time.
    Reference,
    /// A server of OpenAI's protocol (--base-url); MODEL is its name there.
    Openai,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum SandboxName {
    /// The first of namespaces, bubblewrap and landlock that works here.
    #[default]
    Auto,
    /// Linux namespaces without network, on a read-only root.
    Namespaces,
    /// Such namespaces, made by bubblewrap (`bwrap`).
    Bubblewrap,
    /// Without namespaces: Landlock and a system call filter. Programs can write no file.
    Landlock,
    /// Nothing but limits on time and memory. Marks every record.
    None,
}

#[derive(Debug, Group)]
pub(super) struct Merge {
    /// A recipe file: TOML, mergekit's YAML (`.yml`, `.yaml`), or the m3_recipe.json of a merge, which is then made again.
    pub(super) recipe: Option<PathBuf>,
    /// The folder to write, which must not exist.
    #[arg(long, value_name = "DIR", required_unless_present = "print_recipe")]
    pub(super) out: Option<PathBuf>,
    /// Largest shard: bytes, or with a unit (500MB, 4GiB).
    #[arg(long, default_value = "5GB", value_name = "SIZE", value_parser = size)]
    pub(super) shard_size: u64,
    /// Memory to stay within, estimated as `m3 inspect RECIPE` says it: fewer threads work if all need more.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) memory: Option<u64>,
    /// Go on where a weight is NaN or infinite.
    #[arg(long)]
    pub(super) allow_nan: bool,
    /// Seed of what is drawn: of a mergekit configuration's random methods, or of the recipe on flags [default: 0]. A TOML
    /// recipe has its seeds inside.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Machine-readable output on stdout.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) flags: RecipeFlags,
}

/// The fields of a TOML recipe as flags. What is not here (several steps, breadcrumbs, DELLA) is written in a file.
#[derive(Debug, Group)]
#[command(next_help_heading = "A recipe on flags, in place of RECIPE")]
pub(super) struct RecipeFlags {
    /// The pre-trained model: a path or ORGANISATION/NAME of a hub, with @REVISION and +ADAPTER.
    #[arg(long, value_name = "MODEL", conflicts_with = "recipe")]
    pub(super) base: Option<String>,
    /// A fine-tuned model; given once for each, in the order of the proportions.
    #[arg(
        long = "model",
        value_name = "MODEL",
        required_unless_present = "recipe",
        conflicts_with = "recipe"
    )]
    pub(super) models: Vec<String>,
    /// average, task_arithmetic, ties, slerp, nuslerp, model_stock.
    #[arg(long, value_name = "HOW", required_unless_present = "recipe", value_parser = named::<Combine>, conflicts_with = "recipe")]
    pub(super) combine: Option<Combine>,
    /// The magnitude s [default: 1].
    #[arg(long, value_name = "S", conflicts_with = "recipe")]
    pub(super) scale: Option<Scale>,
    /// Proportion: λ of the first of two models, 1 − λ of the second.
    #[arg(long, value_name = "λ", group = "proportion", conflicts_with = "recipe")]
    pub(super) lambda: Option<Lambda>,
    /// Proportion: these, one for each model; they sum to one.
    #[arg(long, value_name = "λ,…", group = "proportion", value_delimiter = ',', conflicts_with = "recipe")]
    pub(super) weights: Vec<f64>,
    /// Proportion: the same for each model.
    #[arg(long, group = "proportion", conflicts_with = "recipe")]
    pub(super) uniform: bool,
    /// Proportion: λ drawn from Beta(α, α), for two models.
    #[arg(long, value_name = "α", group = "proportion", conflicts_with = "recipe")]
    pub(super) alpha: Option<Alpha>,
    /// Proportion: drawn from Dirichlet(α, …, α), for any number of models.
    #[arg(long, value_name = "α", group = "proportion", conflicts_with = "recipe")]
    pub(super) dirichlet: Option<Alpha>,
    /// Proportion: λ_k ∝ 1/k^p in the order of the models.
    #[arg(long, value_name = "P", group = "proportion", conflicts_with = "recipe")]
    pub(super) p_series: Option<f64>,
    /// Which draw of the seed [default: 0].
    #[arg(long, value_name = "N", conflicts_with = "recipe")]
    pub(super) index: Option<u64>,
    /// First drop this share of each delta at random (DARE).
    #[arg(long, value_name = "SHARE", group = "step", conflicts_with = "recipe")]
    pub(super) dare: Option<DropRate>,
    /// First keep only this share of each delta, the largest magnitudes (the trim of TIES).
    #[arg(long, value_name = "SHARE", group = "step", conflicts_with = "recipe")]
    pub(super) trim: Option<Density>,
    /// Over what --trim cuts: tensor, model [default: tensor].
    #[arg(long, value_name = "WHAT", requires = "trim", value_parser = named::<Scope>, conflicts_with = "recipe")]
    pub(super) scope: Option<Scope>,
    /// How what is left is scaled up: none, inverse, l1 [default: inverse for --dare, none for --trim].
    #[arg(long, value_name = "HOW", requires = "step", value_parser = named::<Rescale>, conflicts_with = "recipe")]
    pub(super) rescale: Option<Rescale>,
    /// Element type of the result: f32, f16, bf16 [default: that of the base, or of the first model].
    #[arg(long, value_name = "TYPE", value_parser = named::<DType>, conflicts_with = "recipe")]
    pub(super) dtype: Option<DType>,
    /// Where vocabularies differ: equal, base, union, pad, keep-padding [default: equal].
    #[arg(long, value_name = "POLICY", value_parser = named::<Vocabulary>, conflicts_with = "recipe")]
    pub(super) vocabulary: Option<Vocabulary>,
    /// Print these flags as a TOML recipe, and do nothing else.
    #[arg(long, conflicts_with = "recipe")]
    pub(super) print_recipe: bool,
}

/// A value by the name that recipe files have for it.
fn named<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    T::deserialize(text.into_deserializer()).map_err(|e: serde::de::value::Error| e.to_string())
}

#[derive(Debug, Group)]
pub(super) struct Inspect {
    /// Models; each is compared with the first, which should be the base. Or one recipe file.
    #[arg(required = true, value_parser = model)]
    pub(super) models: Vec<ModelRef>,
    /// Read the weights once and say whether each model is a fine-tune of the first.
    #[arg(long)]
    pub(super) lineage: bool,
    /// Machine-readable output on stdout.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Group)]
pub(super) struct Generate {
    /// A model or a recipe file: a folder (safetensors or PyTorch's .bin), a .gguf file, ORGANISATION/NAME of a hub;
    /// each with @REVISION (on a hub) and +ADAPTER (a LoRA).
    #[arg(value_parser = model)]
    pub(super) model: ModelRef,
    /// Prompts, taken as they are; without any, stdin is one prompt.
    #[arg(conflicts_with = "prompts")]
    pub(super) prompt: Vec<String>,
    /// A file of prompts, one JSON object `{"id", "prompt"}` a line.
    #[arg(long, value_name = "FILE")]
    pub(super) prompts: Option<PathBuf>,
    /// Prompts are what a user says, in the model's own chat template.
    #[arg(long)]
    pub(super) chat: bool,
    /// Prompts are instructions, in this frame.
    #[arg(long, value_enum, value_name = "FRAME", conflicts_with = "chat")]
    pub(super) frame: Option<FrameName>,
    /// What the system says before the user does; only with --chat or --frame.
    #[arg(long, value_name = "TEXT")]
    pub(super) system: Option<String>,
    /// At most so many new tokens for each prompt.
    #[arg(long, default_value = "256", value_name = "N", value_parser = tokens)]
    pub(super) max_tokens: TokenCount,
    /// End at this text; may be given several times.
    #[arg(long, value_name = "TEXT")]
    pub(super) stop: Vec<String>,
    #[command(flatten)]
    pub(super) sampling: SamplingFlags,
    /// Who answers.
    #[arg(long, value_enum, default_value_t)]
    pub(super) engine: EngineName,
    #[command(flatten)]
    pub(super) device: DeviceFlag,
    #[command(flatten)]
    pub(super) limits: LimitFlags,
    /// One JSON object `{"id", "text", "tokens", "finish"}` a line.
    #[arg(long)]
    pub(super) json: bool,
    /// Add the token ids of each prompt as the model sees it: `"prompt_ids"`.
    #[arg(long, requires = "json")]
    pub(super) echo: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FrameName {
    /// Stanford Alpaca's.
    Alpaca,
    /// Vicuna v1.1's.
    Vicuna,
    /// Llama 2 Chat's.
    Llama2,
    /// WizardLM's.
    Wizardlm,
}

/// How the next token is chosen: the most probable one, unless one of these is given.
#[derive(Debug, Group)]
pub(super) struct SamplingFlags {
    /// Draw from softmax(logits / T); 0 draws nothing and takes the most probable token [default: 1, where another of these
    /// is given].
    #[arg(long, value_name = "T")]
    pub(super) temperature: Option<f64>,
    /// Draw from the K most probable tokens.
    #[arg(long, value_name = "K")]
    pub(super) top_k: Option<usize>,
    /// Draw from the fewest most probable tokens that together have probability P.
    #[arg(long, value_name = "P")]
    pub(super) top_p: Option<f64>,
    /// Another seed, other draws; those of a prompt do not depend on the prompts beside it [default: 0].
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
}

/// Bytes: a number with or without a unit.
fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 8] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("KB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, unit) = unit.unwrap_or((text.strip_suffix('B').unwrap_or(text), 1));
    match number.trim_end().parse::<f64>() {
        Ok(number) if number > 0.0 && number * unit as f64 >= 1.0 => Ok((number * unit as f64) as u64),
        _ => Err("a number of bytes above 0 is needed, with or without a unit: 500MB, 4GiB".into()),
    }
}

fn model(text: &str) -> Result<ModelRef, String> {
    text.parse::<ModelRef>().map_err(|e| e.to_string())
}

fn tokens(text: &str) -> Result<TokenCount, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number of at least 1 is needed".into()),
        Ok(n) => Ok(TokenCount(n)),
    }
}

#[derive(Debug, Group)]
pub(super) struct Doctor {
    /// The Python 3 that would run programs [default: the first on PATH].
    #[arg(long, value_name = "FILE")]
    pub(super) python: Option<PathBuf>,
    /// Machine-readable output on stdout.
    #[arg(long)]
    pub(super) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn sizes_have_units() {
        let sizes = [("1", 1), ("17B", 17), ("500MB", 500_000_000), ("4GiB", 4 << 30), ("1.5 KB", 1500)];
        for (text, bytes) in sizes {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "-1", "MB", "5 apples", "0.1B", "NaN"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
