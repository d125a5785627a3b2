//! Text to tokens and back.

use super::error::EngineError;
use crate::checkpoint::Companions;
use crate::completion::Refusal;
use serde_json::Value;

/// A model's tokenizer, with what the model says about the beginning and the end of a text.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Put before every prompt that does not begin with it.
    beginning: Option<u32>,
    /// Tokens that end a text.
    eos: Vec<u32>,
    /// What an empty prompt is, where something is to follow it.
    nothing: Option<u32>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` and checks it against the embedding.
    ///
    /// The config's `bos_token_id` is put before a prompt if, and only if, the tokenizer's own post-processor would do
    /// so; a post-processor's other additions (an end-of-text token after the prompt) are never made, since the prompt
    /// is to be continued. Truncation and padding that the file asks for are switched off. The end-of-text tokens are
    /// those of `config.json` and of `generation_config.json` together.
    pub(crate) fn load(companions: &Companions) -> Result<Self, EngineError> {
        let config = &companions.config;
        let unusable = |e: tokenizers::Error| EngineError::Tokenizer { reason: e.to_string() };
        let mut inner = tokenizers::Tokenizer::from_bytes(&companions.tokenizer).map_err(unusable)?;
        inner.with_truncation(None).map_err(unusable)?;
        inner.with_padding(None);
        let largest = inner.get_vocab(true).into_iter().max_by_key(|&(_, id)| id);
        if let Some((token, id)) = largest.filter(|&(_, id)| id as usize >= config.vocab_size) {
            return Err(EngineError::TokenizerTooLarge { token, id, rows: config.vocab_size });
        }
        let first = inner.encode_fast("", true).map_err(unusable)?.get_ids().first().copied();
        let beginning = config.bos.filter(|&bos| first == Some(bos) && (bos as usize) < config.vocab_size);
        let mut eos = config.eos.clone();
        eos.extend(generation_eos(companions)?);
        let known = |id: &u32| (*id as usize) < config.vocab_size;
        let nothing = config.bos.filter(known).or(eos.first().copied().filter(known));
        eos.sort_unstable();
        eos.dedup();
        Ok(Self { inner, beginning, eos, nothing })
    }

    /// The token that is put before every prompt that does not begin with it.
    pub(crate) fn beginning(&self) -> Option<u32> {
        self.beginning
    }

    /// Whether `id` ends a text.
    pub(crate) fn ends(&self, id: u32) -> bool {
        self.eos.contains(&id)
    }

    /// The tokens of a prompt. Special tokens that are written out in the text are recognised.
    pub(crate) fn encode(&self, prompt: &str) -> Result<Vec<u32>, Refusal> {
        let encoding = self
            .inner
            .encode_fast(prompt, false)
            .map_err(|e| Refusal::Untokenizable { reason: e.to_string() })?;
        let ids = encoding.get_ids();
        let beginning = self.beginning.filter(|bos| ids.first() != Some(bos));
        Ok(beginning.into_iter().chain(ids.iter().copied()).collect())
    }

    /// The token that stands for an empty prompt where something is to follow it: the config's beginning of a text, or
    /// else its end.
    pub(crate) fn nothing(&self) -> Option<u32> {
        self.nothing
    }

    /// The text of generated tokens, without special ones.
    pub(crate) fn decode(&self, ids: &[u32]) -> Result<String, EngineError> {
        self.inner.decode(ids, true).map_err(|e| EngineError::Undecodable { reason: e.to_string() })
    }
}

/// `eos_token_id` of `generation_config.json`: a number, a list, or nothing.
fn generation_eos(companions: &Companions) -> Result<Vec<u32>, EngineError> {
    let Some((_, bytes)) = companions.others.iter().find(|(name, _)| name == "generation_config.json") else {
        return Ok(Vec::new());
    };
    let unusable = |reason: String| EngineError::GenerationConfig { reason };
    let config: Value = serde_json::from_slice(bytes).map_err(|e| unusable(e.to_string()))?;
    let ids = match &config["eos_token_id"] {
        Value::Null => &[],
        Value::Array(ids) => ids.as_slice(),
        id => std::slice::from_ref(id),
    };
    ids.iter()
        .map(|id| {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
            id.ok_or_else(|| unusable("`eos_token_id` is neither a token id nor a list of them".to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fixture;

    const BOS_TEMPLATE: &str = r#""post_processor":{"type":"TemplateProcessing",
        "single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},
                  {"SpecialToken":{"id":"</s>","type_id":0}}],
        "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],
        "special_tokens":{"<s>":{"id":"<s>","ids":[0],"tokens":["<s>"]},
                          "</s>":{"id":"</s>","ids":[1],"tokens":["</s>"]}}}"#;

    fn with_template(bos: Option<u32>) -> Companions {
        let mut companions = fixture::companions();
        let text = String::from_utf8(companions.tokenizer).unwrap();
        companions.tokenizer = text.replace(r#""post_processor":null"#, BOS_TEMPLATE).into_bytes();
        companions.config.bos = bos;
        companions
    }

    #[test]
    fn begins_with_bos_only_if_the_post_processor_does() {
        let plain = Tokenizer::load(&fixture::companions()).unwrap();
        assert_eq!(plain.beginning(), None);
        assert!(plain.encode("").unwrap().is_empty());
        let bare = plain.encode("hello").unwrap();
        assert_eq!(bare.len(), 1);

        let template = Tokenizer::load(&with_template(Some(0))).unwrap();
        assert_eq!(template.beginning(), Some(0));
        assert_eq!(template.encode("hello").unwrap(), [0, bare[0]], "no end-of-text token is added");
        assert_eq!(template.encode("<s>hello").unwrap(), [0, bare[0]], "nor a second beginning");

        let other = Tokenizer::load(&with_template(None)).unwrap();
        assert_eq!(other.beginning(), None, "the config has no beginning token");
    }

    #[test]
    fn ends_are_those_of_both_configs() {
        let mut companions = fixture::companions();
        companions.config.eos = vec![1];
        companions.others = vec![("generation_config.json".into(), br#"{"eos_token_id":[5,1]}"#.to_vec())];
        let tokenizer = Tokenizer::load(&companions).unwrap();
        assert_eq!(tokenizer.eos, [1, 5]);
        companions.others[0].1 = br#"{"eos_token_id":"x"}"#.to_vec();
        let message = Tokenizer::load(&companions).unwrap_err().to_string();
        assert!(message.contains("generation_config.json") && message.contains("eos_token_id"), "{message}");
    }

    #[test]
    fn a_tokenizer_that_is_too_large_is_refused() {
        let mut companions = fixture::companions();
        companions.config.vocab_size = 100;
        let message = Tokenizer::load(&companions).unwrap_err().to_string();
        assert!(message.contains("283") && message.contains("100 rows"), "{message}");
        companions.tokenizer = b"{}".to_vec();
        assert!(matches!(Tokenizer::load(&companions), Err(EngineError::Tokenizer { .. })));
    }

    #[test]
    fn truncation_in_the_file_does_not_cut_prompts() {
        let mut companions = fixture::companions();
        let text = String::from_utf8(companions.tokenizer).unwrap();
        let truncating =
            r#""truncation":{"direction":"Right","max_length":2,"strategy":"LongestFirst","stride":0}"#;
        companions.tokenizer = text.replace(r#""truncation":null"#, truncating).into_bytes();
        let tokenizer = Tokenizer::load(&companions).unwrap();
        assert_eq!(tokenizer.encode("abcdef").unwrap().len(), 6);
    }
}
