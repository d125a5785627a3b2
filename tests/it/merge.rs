//! Merging, from recipe to folder.

use crate::cli::Project;
use m3::checkpoint::{Folder, OpenOptions, Span, TensorSource};
use m3::event::Silent;
use m3::merge::{Inputs, MergedView, Plan, Recipe};
use std::path::Path;
use std::sync::Arc;

fn recipe(project: &Project, text: &str) -> Recipe {
    let path = |name: &str| project.model(name).to_str().unwrap().to_owned();
    let (base, models) = (path("base"), [path("math"), path("code")]);
    toml::from_str(&format!("base = {base:?}\nmodels = {models:?}\n{text}")).unwrap()
}

fn view(recipe: &Recipe) -> MergedView {
    let inputs = Inputs::open(recipe, Path::new(""), &OpenOptions::default()).unwrap();
    Plan::new(recipe, &inputs, &Silent).unwrap().survey(None, &Silent).unwrap()
}

const M3: &str =
    "combine = \"task_arithmetic\"\nscale = 1.3\nproportion = { law = \"lambda\", lambda = 0.34 }";

#[test]
fn a_merge_is_the_formula_rounded_once() {
    let project = Project::new();
    let recipe = recipe(&project, M3);
    let merged = view(&recipe);
    let open = |name: &str| Folder::open(&project.model(name)).unwrap();
    let (base, math, code) = (open("base"), open("math"), open("code"));
    for (name, info) in merged.manifest().iter() {
        let (b, x, y) =
            (base.read_all(name).unwrap(), math.read_all(name).unwrap(), code.read_all(name).unwrap());
        let got = merged.read_all(name).unwrap();
        for i in 0..info.elements() {
            let exact = f64::from(b[i])
                + 1.3
                    * (0.34 * (f64::from(x[i]) - f64::from(b[i]))
                        + 0.66 * (f64::from(y[i]) - f64::from(b[i])));
            // One rounding to bf16 (8 significant bits) of a sum that f32 holds to 24.
            let tolerance = exact.abs() * 2f64.powi(-8) + 1e-9;
            assert!((f64::from(got[i]) - exact).abs() <= tolerance, "{name}[{i}]: {} {exact}", got[i]);
        }
    }
}

#[test]
fn reading_in_any_pieces_gives_the_same_bits() {
    let project = Project::new();
    let merged = view(&recipe(&project, M3));
    for (name, info) in merged.manifest().iter() {
        let whole = merged.read_all(name).unwrap();
        for piece in [1, 7, 1000] {
            let mut again = vec![0.0; info.elements()];
            for (i, part) in again.chunks_mut(piece).enumerate().take(50) {
                merged.read(name, Span { start: i * piece, len: part.len() }, part).unwrap();
            }
            let read = (50 * piece).min(again.len());
            assert_eq!(again[..read], whole[..read], "{name} in pieces of {piece}");
        }
    }
}

#[test]
fn the_end_points_are_the_models_bit_for_bit() {
    let project = Project::new();
    let text = "combine = \"average\"\nproportion = { law = \"lambda\", lambda = 1.0 }";
    let merged = view(&recipe(&project, text));
    let math = Folder::open(&project.model("math")).unwrap();
    for (name, _) in merged.manifest().iter() {
        assert_eq!(merged.read_all(name).unwrap(), math.read_all(name).unwrap());
    }
    assert_eq!(merged.digest().unwrap(), math.digest().unwrap());
}

#[test]
fn the_written_folder_holds_what_the_view_reads() {
    let project = Project::new();
    let path = project.write("recipe.toml", &Project::recipe_text("lambda", "lambda = 0.34"));
    let inputs =
        Inputs::open(&Recipe::read(&path).unwrap(), project.root(), &OpenOptions::default()).unwrap();
    let merged =
        Plan::new(&Recipe::read(&path).unwrap(), &inputs, &Silent).unwrap().survey(None, &Silent).unwrap();
    for (out, shard_size) in [("one", "5000000000"), ("many", "20000")] {
        let out = project.path(out);
        project
            .m3(&[
                "merge",
                path.to_str().unwrap(),
                "--out",
                out.to_str().unwrap(),
                "--shard-size",
                shard_size,
            ])
            .ok();
        let written = Arc::new(Folder::open(&out).unwrap());
        for (name, info) in merged.manifest().iter() {
            assert_eq!(written.manifest().get(name), Some(info));
            let (a, b) = (merged.read_all(name).unwrap(), written.read_all(name).unwrap());
            assert!(a.iter().zip(&b).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}");
        }
    }
    let index = std::fs::read_to_string(project.path("many").join("model.safetensors.index.json")).unwrap();
    assert!(index.contains("model-00001-of-"), "{index}");
}

#[test]
fn a_failed_merge_leaves_nothing() {
    let project = Project::new();
    project.damage_weight("math", f32::NAN);
    let path = project.write("recipe.toml", &Project::recipe_text("uniform", ""));
    let out = project.path("out");
    let said = project.m3(&["merge", path.to_str().unwrap(), "--out", out.to_str().unwrap()]).fails(1);
    assert!(said.contains("weight` holds NaN at element 0"), "{said}");
    let left: Vec<_> = std::fs::read_dir(project.root())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.contains("out"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_index_and_its_shards_must_agree() {
    let project = Project::new();
    let recipe = project.write("recipe.toml", &Project::recipe_text("uniform", ""));
    let out = project.path("many");
    let args = ["merge", recipe.to_str().unwrap(), "--out", out.to_str().unwrap(), "--shard-size", "1000000"];
    project.m3(&args).ok();
    let index = out.join("model.safetensors.index.json");
    let text = std::fs::read_to_string(&index).unwrap();
    let eval = || project.m3(&["eval", "many", "--bench", "gsm8k", "--limit", "1"]).fails(1);

    // Every tensor is said to be in the first shard.
    let count = text.split("-of-").nth(1).unwrap()[..5].to_owned();
    let first = format!("model-00001-of-{count}.safetensors");
    let mut map: serde_json::Value = serde_json::from_str(&text).unwrap();
    for shard in map["weight_map"].as_object_mut().unwrap().values_mut() {
        *shard = first.clone().into();
    }
    std::fs::write(&index, map.to_string()).unwrap();
    let said = eval();
    assert!(said.contains(&first) && said.contains("does not hold it"), "{said}");

    std::fs::write(&index, &text).unwrap();
    let last = out.join(format!("model-{count}-of-{count}.safetensors"));
    let whole = std::fs::read(&last).unwrap();
    std::fs::write(&last, &whole[..whole.len() / 2]).unwrap();
    assert!(eval().contains("damaged"));
    std::fs::remove_file(&last).unwrap();
    let said = eval();
    assert!(said.contains(last.file_name().unwrap().to_str().unwrap()), "{said}");
    std::fs::write(&index, text.replace("model-00001", "../model-00001")).unwrap();
    assert!(eval().contains("leaves the folder"));
}

#[test]
fn threads_do_not_change_a_byte() {
    // Random masks, a cut over the whole model, and an election: everything that is surveyed first.
    let project = Project::new();
    let text = "sparsify = [{ method = \"dare\", drop = 0.3, seed = 4, rescale = \"l1\" }, \
                { method = \"trim\", density = 0.6, scope = \"model\" }]\ncombine = \"ties\"\nscale = 1.2\n\
                proportion = { law = \"lambda\", lambda = 0.4 }";
    let written = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let merged = view(&recipe(&project, text));
            let names: Vec<_> = merged.manifest().iter().map(|(name, _)| name.clone()).collect();
            names.iter().map(|name| merged.read_all(name).unwrap()).collect::<Vec<_>>()
        })
    };
    let one = written(1);
    assert_eq!(one, written(3));
    let base = Folder::open(&project.model("base")).unwrap();
    let changed = base.manifest().iter().zip(&one).map(|((name, _), merged)| {
        base.read_all(name).unwrap().iter().zip(merged).filter(|(a, b)| a != b).count()
    });
    assert!(changed.sum::<usize>() > 100_000, "the merge is hardly another model than the base");
}
