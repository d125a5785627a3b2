//! Logits to a token.

use super::logits::{Logits, NotANumber};
use crate::completion::{Refusal, Request, Sampling};
use crate::random::Stream;

/// Tokens less probable than this part of the most probable one are looked at only if the others do not reach `top_p`.
const LIKELY: f64 = 1e-3;

/// What chooses the tokens of one answer.
pub(crate) enum Sampler {
    /// The largest logit.
    Greedy,
    /// Drawn with random numbers of its own.
    Draw(Box<Draw>),
}

/// A way to draw, checked, with its random numbers.
pub(crate) struct Draw {
    temperature: f64,
    top_k: Option<usize>,
    top_p: Option<f64>,
    stream: Stream,
}

impl Sampler {
    /// The sampler of a request.
    pub(crate) fn new(request: &Request) -> Result<Self, Refusal> {
        request.sampling.check()?;
        let Sampling::Sample { temperature, top_k, top_p, seed } = request.sampling else {
            return Ok(Self::Greedy);
        };
        let stream = Stream::new(seed, &format!("tokens after {}", request.prompt), 0);
        Ok(Self::Draw(Box::new(Draw { temperature, top_k, top_p, stream })))
    }

    /// Whether it must see more of the logits than the largest.
    pub(crate) fn looks_at_all(&self) -> bool {
        matches!(self, Self::Draw(_))
    }

    /// Chooses the next token.
    pub(crate) fn choose(&mut self, logits: Logits<'_>) -> Result<u32, NotANumber> {
        match self {
            Self::Greedy => logits.top(),
            Self::Draw(draw) => draw.next(logits.all()),
        }
    }
}

impl Draw {
    /// Cuts in the order of transformers' `TemperatureLogitsWarper`, `TopKLogitsWarper`, `TopPLogitsWarper`, then draws.
    fn next(&mut self, logits: &[f32]) -> Result<u32, NotANumber> {
        let top = Logits::All(logits).top()?;
        let highest = logits[top as usize];
        let draw = self.stream.unit();
        if !highest.is_finite() {
            return Ok(top);
        }
        let least = match self.top_k.filter(|&k| k < logits.len()) {
            Some(k) => {
                let mut order = logits.to_vec();
                *order.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1
            }
            None => f32::NEG_INFINITY,
        };
        let weight = |logit: f32| ((f64::from(logit) - f64::from(highest)) / self.temperature).exp();
        let mut kept: Vec<(u32, f64)> = (0..)
            .zip(logits)
            .filter(|&(_, &logit)| logit >= least)
            .map(|(id, &logit)| (id, weight(logit)))
            .collect();
        if let Some(p) = self.top_p.filter(|&p| p < 1.0) {
            cut_to(&mut kept, p);
        }
        let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
        let mut left = draw * total;
        let drawn = kept.iter().find(|(_, weight)| {
            left -= weight;
            left < 0.0
        });
        // Rounding may leave a little of the draw: the last token that can be drawn has it.
        let last = || kept.iter().rfind(|(_, weight)| *weight > 0.0);
        Ok(drawn.or_else(last).map_or(top, |&(id, _)| id))
    }
}

/// Keeps the fewest most probable tokens that together have at least the part `p` of all weight; of equal ones the first.
fn cut_to(kept: &mut Vec<(u32, f64)>, p: f64) {
    let wanted = p * kept.iter().map(|(_, weight)| weight).sum::<f64>();
    let likely: f64 = kept.iter().map(|(_, weight)| weight).filter(|w| **w >= LIKELY).sum();
    if likely >= wanted {
        kept.retain(|(_, weight)| *weight >= LIKELY);
    }
    kept.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let mut have = 0.0;
    let enough = kept.iter().position(|(_, weight)| {
        have += weight;
        have >= wanted
    });
    kept.truncate(enough.map_or(kept.len(), |last| last + 1));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::TokenCount;

    fn sampler(prompt: &str, sampling: Sampling) -> Result<Sampler, Refusal> {
        let (prompt, stop, end_with) = (prompt.to_owned(), Vec::new(), Vec::new());
        Sampler::new(&Request { prompt, sampling, max_tokens: TokenCount(1), stop, end_with })
    }

    fn sample(temperature: f64, top_k: Option<usize>, top_p: Option<f64>, seed: u64) -> Sampling {
        Sampling::Sample { temperature, top_k, top_p, seed }
    }

    /// How often each token is drawn in `DRAWS` draws.
    fn counts(sampling: Sampling, logits: &[f32]) -> Vec<f64> {
        let mut sampler = sampler("prompt", sampling).unwrap();
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..DRAWS {
            counts[sampler.choose(Logits::All(logits)).unwrap() as usize] += 1.0;
        }
        counts
    }

    const DRAWS: usize = 20_000;
    /// Five standard deviations of a count of a fair coin, the widest there is.
    const SPREAD: f64 = 5.0 * 70.7;

    #[test]
    fn tokens_are_drawn_as_often_as_they_are_probable() {
        let logits = [1.0f32, 3.0, -2.0, 2.5, 0.0];
        for temperature in [0.5, 1.0, 2.0] {
            let weights: Vec<f64> = logits.iter().map(|&l| (f64::from(l) / temperature).exp()).collect();
            let total: f64 = weights.iter().sum();
            let got = counts(sample(temperature, None, None, 1), &logits);
            for (got, weight) in got.iter().zip(&weights) {
                assert!((got - DRAWS as f64 * weight / total).abs() <= SPREAD, "{got} at {temperature}");
            }
        }
    }

    #[test]
    fn cuts_leave_the_most_probable_tokens() {
        // Probabilities of about .51, .31, .11, .04, .03.
        let logits = [1.5f32, 3.0, 0.1, 2.5, 0.5];
        let drawn = |sampling| {
            let counts = counts(sampling, &logits);
            counts.iter().map(|c| usize::from(*c > 0.0)).collect::<Vec<_>>()
        };
        assert_eq!(drawn(sample(1.0, Some(2), None, 2)), [0, 1, 0, 1, 0]);
        assert_eq!(drawn(sample(1.0, Some(1), None, 2)), [0, 1, 0, 0, 0]);
        assert_eq!(drawn(sample(1.0, None, Some(0.7), 2)), [0, 1, 0, 1, 0]);
        assert_eq!(drawn(sample(1.0, None, Some(0.85), 2)), [1, 1, 0, 1, 0]);
        assert_eq!(drawn(sample(1.0, None, Some(1e-9), 2)), [0, 1, 0, 0, 0], "one token always stays");
        assert_eq!(drawn(sample(1.0, Some(3), Some(0.6), 2)), [0, 1, 0, 1, 0], "the cuts follow each other");
        assert_eq!(drawn(sample(1.0, Some(9), Some(1.0), 2)), [1; 5]);
        let mut flat = counts(sample(1.0, Some(1), None, 2), &[2.0, 2.0, 1.0]);
        flat.retain(|c| *c > 0.0);
        assert_eq!(flat.len(), 2, "equals of the last one stay too");
        // Far more tokens than likely ones, of which the likely ones are too few.
        let mut many = vec![-8.0f32; 3000];
        many[7] = 0.0;
        assert_eq!(counts(sample(1.0, None, Some(0.3), 2), &many)[7], DRAWS as f64);
        assert!(counts(sample(1.0, None, Some(0.9), 2), &many)[7] < 0.6 * DRAWS as f64);
    }

    #[test]
    fn the_draws_of_a_request_are_its_own() {
        let logits = [0.0f32; 50];
        let draws = |prompt: &str, seed| {
            let mut sampler = sampler(prompt, sample(1.0, None, None, seed)).unwrap();
            (0..20).map(|_| sampler.choose(Logits::All(&logits)).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(draws("a", 1), draws("a", 1));
        assert_ne!(draws("a", 1), draws("a", 2));
        assert_ne!(draws("a", 1), draws("b", 1));
    }

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        for (sampling, named) in [
            (sample(0.0, None, None, 0), "temperature"),
            (sample(f64::NAN, None, None, 0), "temperature"),
            (sample(1.0, Some(0), None, 0), "top_k"),
            (sample(1.0, None, Some(0.0), 0), "top_p"),
            (sample(1.0, None, Some(1.5), 0), "top_p"),
        ] {
            let message = sampler("x", sampling).err().unwrap().to_string();
            assert!(message.starts_with(named), "{message}");
        }
    }

    #[test]
    fn infinities_and_nan_do_not_confuse_the_draw() {
        let mut sampler = sampler("x", sample(0.7, None, Some(0.9), 3)).unwrap();
        assert_eq!(sampler.choose(Logits::All(&[0.0, f32::INFINITY])), Ok(1));
        assert_eq!(sampler.choose(Logits::All(&[f32::NEG_INFINITY, -3.0])), Ok(1));
        assert_eq!(sampler.choose(Logits::All(&[0.0, f32::NAN])), Err(NotANumber));
    }
}
