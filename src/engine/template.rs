//! How an instruction becomes a prompt: the chat template that comes with a model's tokenizer, or a frame that is known by name.

use super::error::EngineError;
use crate::chat::Message;
use crate::checkpoint::Companions;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, Serde, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use regex::Regex;
use serde_json::Value as Json;

/// A frame that models were tuned with, known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Stanford Alpaca's, for instructions without input (tatsu-lab/stanford_alpaca, README).
    Alpaca,
    /// Vicuna v1.1's (lm-sys/FastChat, `vicuna_weights_version.md`).
    Vicuna,
    /// Llama 2 Chat's, for one turn (meta-llama/llama, `generation.py`). Without a system text there is none.
    Llama2,
    /// WizardLM's, for one turn (nlpxucan/WizardLM, README of the first models).
    WizardLm,
}

impl Frame {
    /// The instruction in its frame. The token that begins a text is not part of it: the tokenizer puts it there.
    pub fn render(self, system: Option<&str>, instruction: &str) -> String {
        match self {
            Self::Alpaca => {
                let system = system.unwrap_or(
                    "Below is an instruction that describes a task. Write a response that appropriately completes the request.",
                );
                format!("{system}\n\n### Instruction:\n{instruction}\n\n### Response:")
            }
            Self::Vicuna => {
                let system = system.unwrap_or(
                    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, \
                     detailed, and polite answers to the user's questions.",
                );
                format!("{system} USER: {instruction} ASSISTANT:")
            }
            Self::Llama2 => match system {
                Some(system) => {
                    format!("[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{} [/INST]", instruction.trim())
                }
                None => format!("[INST] {} [/INST]", instruction.trim()),
            },
            Self::WizardLm => match system {
                Some(system) => format!("{system}\n\n{instruction}\n\n### Response:"),
                None => format!("{instruction}\n\n### Response:"),
            },
        }
    }
}

/// A model's own chat template, rendered as transformers' `apply_chat_template` renders it.
///
/// There is no `strftime_now`: a prompt does not depend on the day, and templates that ask for the date have one of their own
/// for this case.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    beginning: Option<String>,
    end: Option<String>,
}

impl ChatTemplate {
    /// The name of the template in its environment; without an extension for which anything would be escaped.
    const NAME: &str = "chat_template";

    /// The template in `chat_template.jinja` or in `tokenizer_config.json`.
    pub fn of(companions: &Companions) -> Result<Self, EngineError> {
        let file =
            |name: &str| companions.others.iter().find(|(other, _)| other == name).map(|(_, bytes)| bytes);
        let bad = |reason: String| EngineError::ChatTemplate { reason };
        let config: Json = match file("tokenizer_config.json") {
            Some(bytes) => serde_json::from_slice(bytes)
                .map_err(|e| bad(format!("tokenizer_config.json does not parse: {e}")))?,
            None => Json::Null,
        };
        let source = match (file("chat_template.jinja"), &config["chat_template"]) {
            (Some(bytes), _) => String::from_utf8(bytes.clone())
                .map_err(|_| bad("chat_template.jinja is not UTF-8".into()))?,
            (None, Json::String(text)) => text.clone(),
            // Several templates: the one that is called `default`.
            (None, Json::Array(named)) => named
                .iter()
                .find(|t| t["name"] == "default")
                .and_then(|t| t["template"].as_str())
                .ok_or_else(|| {
                    bad("of several templates in tokenizer_config.json none is called `default`".into())
                })?
                .to_owned(),
            (None, _) => return Err(EngineError::NoChatTemplate),
        };
        let token = |key: &str| {
            let token = &config[key];
            token.as_str().or_else(|| token["content"].as_str()).map(str::to_owned)
        };
        let environment = environment(&source).map_err(|e| bad(format!("{e:#}")))?;
        Ok(Self { environment, beginning: token("bos_token"), end: token("eos_token") })
    }

    /// The prompt to which the assistant's next turn is the continuation.
    pub fn render(&self, messages: &[Message]) -> Result<String, EngineError> {
        let context = serde_json::json!({
            "messages": messages, "add_generation_prompt": true, "bos_token": self.beginning, "eos_token": self.end,
        });
        self.environment
            .get_template(Self::NAME)
            .and_then(|template| template.render(Serde(&context)))
            .map_err(|e| EngineError::ChatTemplate { reason: format!("{e:#}") })
    }
}

/// Jinja as transformers sets it up (`chat_template_utils.py`).
fn environment(source: &str) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(method);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_filter("tojson", to_json);
    // These tags mark what the assistant said, for training; nothing is to be done for them.
    let marks = Regex::new(r"\{%-?\s*(end)?generation\s*-?%\}")
        .map_err(|e| Error::new(ErrorKind::SyntaxError, e.to_string()))?;
    environment.add_template_owned(ChatTemplate::NAME, marks.replace_all(source, "").into_owned())?;
    Ok(environment)
}

/// Python's methods of strings and dictionaries that templates call.
fn method(state: &mut State<'_, '_>, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let unknown = || Error::from(ErrorKind::UnknownMethod);
    if value.kind() == ValueKind::Map {
        return match name {
            "items" => state.apply_filter("items", std::slice::from_ref(value)),
            "keys" => Ok(value.try_iter()?.collect::<Vec<Value>>().into()),
            "values" => value
                .try_iter()?
                .map(|key| value.get_item(&key))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::from),
            "get" => {
                let (key, default): (Value, Option<Value>) = from_args(args)?;
                let found = value.get_item(&key)?;
                Ok(if found.is_undefined() { default.unwrap_or(Value::from(())) } else { found })
            }
            _ => Err(unknown()),
        };
    }
    let text = value.as_str().ok_or_else(unknown)?;
    Ok(match name {
        "strip" | "lstrip" | "rstrip" => {
            let (set,): (Option<String>,) = from_args(args)?;
            let off = |c: char| set.as_ref().map_or(c.is_whitespace(), |set| set.contains(c));
            let text = if name == "rstrip" { text } else { text.trim_start_matches(off) };
            Value::from(if name == "lstrip" { text } else { text.trim_end_matches(off) })
        }
        "startswith" | "endswith" => {
            let (part,): (String,) = from_args(args)?;
            Value::from(if name == "startswith" { text.starts_with(&part) } else { text.ends_with(&part) })
        }
        "upper" => Value::from(text.to_uppercase()),
        "lower" => Value::from(text.to_lowercase()),
        "title" => return state.apply_filter("title", std::slice::from_ref(value)),
        "replace" => {
            let (from, to): (String, String) = from_args(args)?;
            Value::from(text.replace(&from, &to))
        }
        "split" => {
            let (at, most): (Option<String>, Option<usize>) = from_args(args)?;
            let most = most.map_or(usize::MAX, |most| most.saturating_add(1));
            let parts: Vec<&str> = match &at {
                Some(at) => text.splitn(most, at.as_str()).collect(),
                None => text.split_whitespace().collect(),
            };
            parts.into_iter().map(Value::from).collect::<Vec<_>>().into()
        }
        "join" => {
            let (parts,): (Value,) = from_args(args)?;
            let parts: Vec<String> = parts.try_iter()?.map(|part| part.to_string()).collect();
            Value::from(parts.join(text))
        }
        _ => return Err(unknown()),
    })
}

/// `json.dumps(value, ensure_ascii=False, indent=…)`, the only settings that templates use.
#[expect(clippy::needless_pass_by_value, reason = "what minijinja passes to a filter")]
fn to_json(value: Value, _: Rest<Value>, settings: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = settings.get("indent")?;
    let _: Option<Value> = settings.get("ensure_ascii")?;
    settings.assert_all_used()?;
    let failed = |e: serde_json::Error| Error::new(ErrorKind::BadSerialization, e.to_string());
    let json = serde_json::to_value(&value).map_err(failed)?;
    let mut out = String::new();
    dump(&json, indent, 0, &mut out);
    Ok(Value::from(out))
}

/// Python's layout: a blank after each comma and colon, or a line for each entry.
fn dump(value: &Json, indent: Option<usize>, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        if let Some(indent) = indent {
            out.push('\n');
            out.push_str(&" ".repeat(indent * depth));
        }
    };
    let comma = if indent.is_some() { "," } else { ", " };
    match value {
        Json::Array(all) if !all.is_empty() => {
            out.push('[');
            for (i, entry) in all.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { comma });
                line(depth + 1, out);
                dump(entry, indent, depth + 1, out);
            }
            line(depth, out);
            out.push(']');
        }
        Json::Object(all) if !all.is_empty() => {
            out.push('{');
            for (i, (key, entry)) in all.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { comma });
                line(depth + 1, out);
                out.push_str(&Json::from(key.as_str()).to_string());
                out.push_str(": ");
                dump(entry, indent, depth + 1, out);
            }
            line(depth, out);
            out.push('}');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fixture;

    fn message(role: &str, content: &str) -> Message {
        Message { role: role.into(), content: content.into() }
    }

    fn with(template: &str) -> Result<ChatTemplate, EngineError> {
        let config = serde_json::json!({
            "chat_template": template, "bos_token": { "content": "<s>" }, "eos_token": "</s>",
        });
        let mut companions = fixture::companions();
        companions.others = vec![("tokenizer_config.json".into(), config.to_string().into_bytes())];
        ChatTemplate::of(&companions)
    }

    fn rendered(template: &str) -> Result<String, EngineError> {
        with(template)?.render(&[message("system", " Be brief. "), message("user", "Größe <b>?")])
    }

    #[test]
    fn templates_are_rendered_as_transformers_does() {
        // The expected texts are those of jinja2 3.1 with transformers' settings.
        for (template, want) in [
            (
                "{{ bos_token }}{% for m in messages %}\n  {% if m['role'] == 'user' %}\nQ: {{ m.content }}{{ eos_token }}\n  {% endif %}\n{% endfor %}\n{% if add_generation_prompt %}A:{% endif %}",
                "<s>Q: Größe <b>?</s>\nA:",
            ),
            (
                "{{ messages[0]['content'].strip() | upper }}|{{ messages[0].content.rstrip('. ') }}",
                "BE BRIEF.| Be brief",
            ),
            ("{{ messages[1] | tojson }}", "{\"role\": \"user\", \"content\": \"Größe <b>?\"}"),
            (
                "{{ {'a': [1, 2], 'b': {}} | tojson(indent=2) }}",
                "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}",
            ),
            ("{% for k, v in {'b': 1, 'a': 2}.items() %}{{ k }}={{ v }};{% endfor %}", "b=1;a=2;"),
            ("{% set parts = 'x::y'.split('::') %}{{ parts[1] }}{{ {'k': 3}.get('z', 4) }}", "y4"),
            (
                "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}{% endfor %}",
                "user",
            ),
            ("{% generation %}x{%- endgeneration %}", "x"),
            ("{{ strftime_now is defined }}{{ nobody }}", "False"),
        ] {
            assert_eq!(rendered(template).unwrap(), want, "{template}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_template_is_said() {
        let message = rendered("{{ raise_exception('system is not supported') }}").unwrap_err().to_string();
        assert!(message.contains("system is not supported"), "{message}");
        assert!(rendered("{% if %}").unwrap_err().to_string().contains("chat template"));
        assert!(matches!(ChatTemplate::of(&fixture::companions()), Err(EngineError::NoChatTemplate)));
    }

    #[test]
    fn frames_have_the_instruction_where_it_belongs() {
        assert!(
            Frame::Alpaca.render(None, "Go.").ends_with("request.\n\n### Instruction:\nGo.\n\n### Response:")
        );
        assert!(Frame::Vicuna.render(None, "Go.").ends_with("questions. USER: Go. ASSISTANT:"));
        assert_eq!(Frame::Llama2.render(Some("S"), " Go. "), "[INST] <<SYS>>\nS\n<</SYS>>\n\nGo. [/INST]");
        assert_eq!(Frame::Llama2.render(None, "Go."), "[INST] Go. [/INST]");
        assert_eq!(Frame::WizardLm.render(None, "Go."), "Go.\n\n### Response:");
    }
}
