//! Whatever the number of threads, and in whatever pieces it is read: a merge has the same bytes, by every method.

use crate::tiny_model::TinyModel;
use m3::checkpoint::{OpenOptions, Span, TensorSource};
use m3::event::Silent;
use m3::merge::{Inputs, MergedView, Mergekit, Plan, Recipe};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::path::Path;

/// Odd sizes; embedding and head are longer than any block that is surveyed or blended at once.
const ODD: TinyModel = TinyModel {
    hidden: 6,
    layers: 1,
    heads: 3,
    kv_heads: 1,
    intermediate: 7,
    vocab: 5003,
    context: 64,
    tied: false,
    seed: 1,
};

/// All methods of mergekit with what each needs.
const MERGEKIT: [(&str, &str); 16] = [
    ("linear", "weight: 0.4"),
    ("task_arithmetic", "weight: 0.4"),
    ("ties", "weight: 0.4, density: 0.3"),
    ("ties", "weight: 0.4, density: 0.3, rescale: true"),
    ("dare_ties", "weight: 0.4, density: 0.3"),
    ("dare_linear", "weight: 0.4, density: 0.3"),
    ("della", "weight: 0.4, density: 0.5"),
    ("della_linear", "weight: 0.4, density: 0.5"),
    ("breadcrumbs", "weight: 0.4, density: 0.5, gamma: 0.1"),
    ("breadcrumbs_ties", "weight: 0.4, density: 0.5, gamma: 0.1"),
    ("slerp", "t: 0.3"),
    ("nuslerp", "weight: 0.4"),
    ("nuslerp", "weight: 0.4, nuslerp_flatten: false"),
    ("nearswap", "t: 0.01"),
    ("model_stock", "filter_wise: false"),
    ("model_stock", "filter_wise: true"),
];

/// Our own ways to combine, and steps before.
const OURS: [&str; 7] = [
    "combine = \"average\"",
    "combine = \"task_arithmetic\"\nsparsify = [{ method = \"dare\", drop = 0.3, rescale = \"l1\" }]",
    "combine = \"ties\"\nsparsify = [{ method = \"trim\", density = 0.3, scope = \"model\" }]",
    "combine = \"ties\"\nsparsify = [{ method = \"della\", density = 0.5, epsilon = 0.2 }, { method = \"trim\", density = 0.6 }]",
    "combine = \"slerp\"\nproportion = { law = \"lambda\", lambda = 0.3 }",
    "combine = \"nuslerp\"\nproportion = { law = \"lambda\", lambda = 0.3 }",
    "combine = \"model_stock\"",
];

fn in_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// Every tensor, read in pieces of these lengths in turn.
fn read(view: &MergedView, pieces: &[usize]) -> Vec<Vec<u32>> {
    let tensor = |(name, info): (&_, &m3::checkpoint::TensorInfo)| {
        let mut values = vec![0.0; info.elements()];
        let (mut start, mut lengths) = (0, pieces.iter().cycle());
        while start < values.len() {
            let len = (*lengths.next().unwrap()).min(values.len() - start);
            view.read(name, Span { start, len }, &mut values[start..][..len]).unwrap();
            start += len;
        }
        values.into_iter().map(f32::to_bits).collect()
    };
    view.manifest().iter().map(tensor).collect()
}

/// Makes a merge in some numbers of threads, reads it in some pieces, and compares.
fn holds(what: &str, base: &[Vec<u32>], merge: impl Fn() -> MergedView + Sync) {
    let whole = in_threads(1, || read(&merge(), &[usize::MAX]));
    assert_ne!(whole, base, "{what} changes nothing, so that nothing is tested");
    let cases = (1usize..9, proptest::collection::vec(1usize..40_000, 1..6));
    let mut runner = TestRunner::new(Config { cases: 6, failure_persistence: None, ..Config::default() });
    let same = runner.run(&cases, |(threads, pieces)| {
        prop_assert!(in_threads(threads, || read(&merge(), &pieces)) == whole, "{}", what);
        Ok(())
    });
    same.unwrap();
    // Single elements, but not all of them.
    let ends = in_threads(2, || {
        let view = merge();
        let (name, _) = view.manifest().iter().next().unwrap();
        let one = |start| {
            let mut out = [0.0];
            view.read(name, Span { start, len: 1 }, &mut out).unwrap();
            out[0].to_bits()
        };
        [0, 1, 16_383, 16_384, 30_017].map(|at| (at, one(at)))
    });
    for (at, bits) in ends {
        assert_eq!(bits, whole[0][at], "{what}: element {at} alone");
    }
}

/// Three models, and the bits of the base.
fn family(folder: &Path) -> Vec<Vec<u32>> {
    for (name, seed) in [("base", 1), ("a", 2), ("b", 3)] {
        TinyModel { seed, ..ODD }.write(&folder.join(name), |_, _| true);
    }
    let base = m3::checkpoint::Folder::open(&folder.join("base")).unwrap();
    let bits = |name| base.read_all(name).unwrap().into_iter().map(f32::to_bits).collect();
    base.manifest().iter().map(|(name, _)| bits(name)).collect()
}

fn options() -> OpenOptions<'static> {
    OpenOptions::default()
}

#[test]
fn mergekits_methods() {
    let dir = tempfile::tempdir().unwrap();
    let base = family(dir.path());
    for (method, parameters) in MERGEKIT {
        let models = match method {
            "slerp" | "nearswap" => "[{model: a}]",
            _ => "[{model: a}, {model: b}]",
        };
        let models = if method == "slerp" { "[{model: base}, {model: a}]" } else { models };
        let text = format!(
            "merge_method: {method}\nbase_model: base\nmodels: {models}\nparameters: {{{parameters}}}\n"
        );
        let recipe = Mergekit::parse(&text, &dir.path().join("merge.yml")).unwrap();
        holds(&text, &base, || {
            recipe.plan(5, &recipe.open(&options()).unwrap(), &Silent).unwrap().survey(None, &Silent).unwrap()
        });
    }
}

#[test]
fn our_own_recipes() {
    let dir = tempfile::tempdir().unwrap();
    let base = family(dir.path());
    for text in OURS {
        let path = dir.path().join("recipe.toml");
        std::fs::write(&path, format!("base = \"base\"\nmodels = [\"a\", \"b\"]\n{text}\n")).unwrap();
        let recipe = Recipe::read(&path).unwrap();
        holds(text, &base, || {
            let inputs = Inputs::open(&recipe, dir.path(), &options()).unwrap();
            Plan::new(&recipe, &inputs, &Silent).unwrap().survey(None, &Silent).unwrap()
        });
    }
}
