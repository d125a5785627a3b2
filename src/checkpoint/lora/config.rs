//! What PEFT's `adapter_config.json` says, as far as plain LoRA goes. Source: huggingface/peft,
//! `src/peft/tuners/lora/config.py`.

use super::super::CheckpointError;
use crate::files;
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// An adapter's settings, checked.
#[derive(Debug)]
pub(super) struct AdapterConfig {
    path: PathBuf,
    /// The model that it was trained on, for a warning.
    pub(super) base: Option<String>,
    /// Asked for, but without meaning for linear layers that store `[out, in]`, as Llama's do.
    pub(super) fan_in_fan_out: bool,
    rank: usize,
    alpha: f64,
    scaling: Scaling,
    targets: Targets,
    saved: Vec<String>,
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f64)>,
}

/// How α is turned into the factor of B·A.
#[derive(Clone, Copy, Debug)]
enum Scaling {
    /// α / r (Hu et al. 2021, section 4.1).
    ByRank,
    /// α / √r (Kalajdzievski 2023, "rank-stabilised").
    ByRoot,
}

#[derive(Debug)]
enum Targets {
    Names(Vec<String>),
    Pattern(Regex),
    /// `all-linear`, or left to the architecture's defaults.
    Any,
}

#[derive(Deserialize)]
struct Raw {
    peft_type: Option<String>,
    r: usize,
    lora_alpha: f64,
    base_model_name_or_path: Option<String>,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    bias: Option<String>,
    init_lora_weights: Option<Value>,
    target_modules: Option<Value>,
    #[serde(default)]
    modules_to_save: Option<Vec<String>>,
    #[serde(default)]
    rank_pattern: Option<Map<String, Value>>,
    #[serde(default)]
    alpha_pattern: Option<Map<String, Value>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Largest compiled pattern of target modules, in bytes: the full names of all modules of a model of 80 layers fit.
const MAX_PATTERN: usize = 1 << 20;
/// The same for a key of `rank_pattern` or `alpha_pattern`, of which there may be one for each module.
const MAX_KEY_PATTERN: usize = 1 << 17;

/// Keys that do not change what the tensors mean.
const HARMLESS: [&str; 12] = [
    "auto_mapping",
    "corda_config",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "loftq_config",
    "lora_dropout",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "task_type",
];

impl AdapterConfig {
    /// Reads `adapter_config.json` in `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, CheckpointError> {
        let path = folder.join("adapter_config.json");
        if !files::is_file(&path) {
            return Err(CheckpointError::MissingFile {
                folder: folder.to_owned(),
                file: "adapter_config.json",
                hint: "what stands after `+` is a PEFT LoRA adapter",
            });
        }
        Self::parse(&files::read_text(&path)?, path)
    }

    /// Parses the text; `path` is for messages.
    pub(super) fn parse(text: &str, path: PathBuf) -> Result<Self, CheckpointError> {
        let raw: Raw = serde_json::from_str(text)
            .map_err(|e| CheckpointError::BadJson { path: path.clone(), reason: e.to_string() })?;
        let refuse = |key: &str, got: String| CheckpointError::AdapterSetting {
            path: path.clone(),
            key: key.to_owned(),
            got,
        };
        if let Some(kind) = raw.peft_type.filter(|k| k != "LORA") {
            return Err(refuse("peft_type", kind));
        }
        if let Some(bias) = raw.bias.filter(|b| b != "none") {
            return Err(refuse("bias", bias));
        }
        let off = |v: &Value| match v {
            Value::Null | Value::Bool(false) => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(entries) => entries.is_empty(),
            _ => false,
        };
        if let Some((key, value)) = raw.rest.iter().find(|(k, v)| !HARMLESS.contains(&k.as_str()) && !off(v))
        {
            return Err(refuse(key, value.to_string()));
        }
        // Other ways to begin take something out of the base, which W + s·B·A would have to put back.
        if let Some(way) = raw.init_lora_weights.filter(|way| match way {
            Value::Null | Value::Bool(_) => false,
            Value::String(way) => !matches!(way.as_str(), "gaussian" | "eva" | "orthogonal"),
            _ => true,
        }) {
            return Err(refuse("init_lora_weights", way.to_string()));
        }
        if raw.r == 0 {
            return Err(refuse("r", "0".into()));
        }
        let whole = |key: &str, pattern: &str, limit: usize| {
            RegexBuilder::new(&format!("^(?:{pattern})$"))
                .size_limit(limit)
                .build()
                .map_err(|_| refuse(key, format!("the pattern `{pattern}`")))
        };
        let targets = match raw.target_modules {
            None => Targets::Any,
            Some(Value::String(all)) if all == "all-linear" => Targets::Any,
            Some(Value::String(pattern)) => Targets::Pattern(whole("target_modules", &pattern, MAX_PATTERN)?),
            Some(list) => {
                let names = serde_json::from_value(list.clone());
                Targets::Names(names.map_err(|_| refuse("target_modules", list.to_string()))?)
            }
        };
        // PEFT takes such a key as the end of a module's name (`get_pattern_key`).
        let ending = |key: &str, pattern: &str| {
            whole(key, &format!(r"(?:.*\.)?(?:{})", pattern.trim_start_matches('^')), MAX_KEY_PATTERN)
        };
        let mut ranks = Vec::new();
        for (pattern, rank) in raw.rank_pattern.unwrap_or_default() {
            let rank =
                rank.as_u64().filter(|r| *r > 0).ok_or_else(|| refuse("rank_pattern", rank.to_string()))?;
            ranks.push((ending("rank_pattern", &pattern)?, rank as usize));
        }
        let mut alphas = Vec::new();
        for (pattern, alpha) in raw.alpha_pattern.unwrap_or_default() {
            let alpha = alpha.as_f64().ok_or_else(|| refuse("alpha_pattern", alpha.to_string()))?;
            alphas.push((ending("alpha_pattern", &pattern)?, alpha));
        }
        Ok(Self {
            base: raw.base_model_name_or_path,
            fan_in_fan_out: raw.fan_in_fan_out,
            rank: raw.r,
            alpha: raw.lora_alpha,
            scaling: if raw.use_rslora { Scaling::ByRoot } else { Scaling::ByRank },
            targets,
            saved: raw.modules_to_save.unwrap_or_default(),
            ranks,
            alphas,
            path,
        })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a module is to have a pair of matrices.
    pub(super) fn targets(&self, module: &str) -> bool {
        match &self.targets {
            Targets::Names(names) => names.iter().any(|n| is_end(module, n)),
            Targets::Pattern(pattern) => pattern.is_match(module),
            Targets::Any => true,
        }
    }

    /// Whether every module that [`Self::targets`] names must be there: not if the config leaves it open.
    pub(super) fn is_explicit(&self) -> bool {
        !matches!(self.targets, Targets::Any)
    }

    /// Whether a module may come whole.
    pub(super) fn saves(&self, module: &str) -> bool {
        // PEFT saves embeddings unasked when it thinks that they changed.
        let embedding = ["embed_tokens", "lm_head"].iter().any(|n| is_end(module, n));
        embedding || self.saved.iter().any(|n| is_end(module, n))
    }

    /// r of a module.
    pub(super) fn rank(&self, module: &str) -> usize {
        self.ranks.iter().find(|(p, _)| p.is_match(module)).map_or(self.rank, |(_, r)| *r)
    }

    /// The factor of B·A in a module.
    pub(super) fn scale(&self, module: &str) -> f64 {
        let alpha = self.alphas.iter().find(|(p, _)| p.is_match(module)).map_or(self.alpha, |(_, a)| *a);
        let rank = self.rank(module) as f64;
        match self.scaling {
            Scaling::ByRank => alpha / rank,
            Scaling::ByRoot => alpha / rank.sqrt(),
        }
    }
}

/// Whether `name` is `module` or its last parts.
fn is_end(module: &str, name: &str) -> bool {
    module.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AdapterConfig, CheckpointError> {
        AdapterConfig::parse(text, "adapter_config.json".into())
    }

    const Q: &str = "model.layers.3.self_attn.q_proj";

    #[test]
    fn scales_follow_rank_alpha_and_their_patterns() {
        let plain =
            parse(r#"{"r":8,"lora_alpha":16,"target_modules":["q_proj"],"peft_type":"LORA"}"#).unwrap();
        assert_eq!((plain.rank(Q), plain.scale(Q)), (8, 2.0));
        assert!(plain.targets(Q) && !plain.targets("model.layers.3.self_attn.my_q_proj"));
        let rooted =
            parse(r#"{"r":16,"lora_alpha":8,"use_rslora":true,"target_modules":".*\\.q_proj"}"#).unwrap();
        assert_eq!(rooted.scale(Q), 2.0);
        assert!(rooted.targets(Q) && !rooted.targets("model.layers.3.self_attn.k_proj"));
        let patterns = parse(
            r#"{"r":8,"lora_alpha":8,"rank_pattern":{"layers.3.self_attn.q_proj":4},"alpha_pattern":{"q_proj":2}}"#,
        )
        .unwrap();
        assert_eq!((patterns.rank(Q), patterns.scale(Q)), (4, 0.5));
        assert_eq!(patterns.scale("model.layers.3.mlp.up_proj"), 1.0);
    }

    #[test]
    fn what_is_not_plain_lora_is_refused_by_its_key() {
        for (more, key) in [
            (r#","use_dora":true"#, "use_dora"),
            (r#","init_lora_weights":"pissa""#, "init_lora_weights"),
            (r#","bias":"all""#, "bias"),
            (r#","peft_type":"IA3""#, "peft_type"),
            (r#","layers_to_transform":[1,2]"#, "layers_to_transform"),
            (r#","layers_pattern":"layers""#, "layers_pattern"),
            (r#","something_new":3"#, "something_new"),
            (r#","target_modules":"(?<=x)y""#, "target_modules"),
            (r#","rank_pattern":{"q_proj":0}"#, "rank_pattern"),
            (r#","rank_pattern":{"\\w{200}":1}"#, "rank_pattern"),
            (r#","target_modules":"(\\w{100}){100}""#, "target_modules"),
        ] {
            let message = parse(&format!(r#"{{"r":8,"lora_alpha":16{more}}}"#)).unwrap_err().to_string();
            assert!(message.contains(key) && message.contains("adapter_config.json"), "{message}");
        }
        assert!(parse(r#"{"r":0,"lora_alpha":16}"#).is_err());
        assert!(parse(r#"{"lora_alpha":16}"#).unwrap_err().to_string().contains("`r`"));
        parse(r#"{"r":8,"lora_alpha":16,"use_dora":false,"layers_pattern":null,"megatron_config":{},"lora_bias":false,"init_lora_weights":true}"#)
            .unwrap();
    }
}
