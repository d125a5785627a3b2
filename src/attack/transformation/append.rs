//! Words behind the last one, before what closes the text.

use super::Transformation;
use crate::attack::AttackError;
use crate::attack::random::Draws;
use crate::attack::text::AttackedText;

/// Adds a text behind the last word, whatever that word is.
#[derive(Clone, Debug)]
pub struct Append(pub Vec<String>);

/// The fifty random words of ten characters that PromptBench appends, drawn once by its authors.
#[rustfmt::skip]
const RANDOM_WORDS: [&str; 50] = [
    "d6ZQ3u0GBQ", "vTAjHynoIG", "OB4KVJzIft", "LkF0FZxMZ4", "iia2yL9Uzm", "CuVpbbkC4c", "w52rwgo0Av", "Vq3aBzuZcD",
    "hXLpw3bbiw", "RcRneWo6Iv", "S6oUV5E54P", "xikCjkMydH", "MQnugHcaoy", "Q47Jmd4lMV", "9vGXgnbWB8", "IhuBIhoPGc",
    "5yWbBXztUY", "AMsRIKZniY", "EAB4KP2NVY", "9Q3S1F94fE", "b74X5IVXQY", "SFPCqpiClT", "bhrRSokrfa", "YHQiDfFhw4",
    "BWmsLx8xOA", "PDCGfz6DL9", "yh912BU8T0", "ofOQXLxiW4", "Cev0s49fbe", "rzu98kF2KF", "zexKUTWJYG", "5XeflW1ZJc",
    "is77sOXAu8", "XStsD2pUzu", "fwhUZUQzXW", "Pbl3tYuoRo", "MSAddJ4D2a", "mzjVogkRhM", "Kw6nrs57gH", "ItGDrrA1Sc",
    "KjPJJ2a7RB", "mOJ9nEwT4f", "ofw9fEkN5R", "njCuciQJpB", "6a4Yn3RGVc", "SvAp8RlOFn", "g0vBZf3tQC", "zq0DcZ5dnI",
    "lf8wBa2yEm", "lWJoGGRdjv",
];

impl Append {
    /// The sentences of StressTest that are true and say nothing (Naik et al. 2018), as PromptBench has them.
    pub fn stress_test() -> Self {
        let truism = " and true is true ";
        Self(vec![truism.into(), " and false is not true ".into(), truism.repeat(5)])
    }

    /// The random words that a model should not care about (CheckList, Ribeiro et al. 2020), as PromptBench has them.
    pub fn check_list() -> Self {
        Self(RANDOM_WORDS.map(str::to_owned).to_vec())
    }
}

impl Transformation for Append {
    fn candidates(
        &self,
        text: &AttackedText,
        _: &[usize],
        _: &mut Draws,
    ) -> Result<Vec<AttackedText>, AttackError> {
        Ok(self.0.iter().filter_map(|added| text.append(added)).collect())
    }

    fn most(&self) -> usize {
        self.0.len()
    }
}
