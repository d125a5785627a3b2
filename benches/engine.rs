//! Throughput of the packed engine and of candle's Llama on the same requests, and of the packed matrix product.
//!
//! **Measured**: tokens per second, prompt and generated together, by wall clock from the first request to the last
//! delivery (best of some runs), at 1, 8 and 32 requests at once; time to load; GFLOP/s of the matrix product with weights
//! from memory, beside its floor: whichever takes longer of multiplying from registers and of reading the weights.
//! **Input**: a model folder (first argument, default `models/tiny/base`) and prompts of 24 to 120 words picked by a
//! fixed seed, 64 tokens to be generated for each. Both engines use all threads.
//!
//! `cargo bench --bench engine [-- FOLDER]`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use m3::checkpoint::Folder;
use m3::completion::{Complete, Flow, Request, Sampling};
use m3::engine::{Engine, EngineSettings, Floors, ReferenceEngine, kernel_name, matmul_gflops};
use m3::random::Stream;
use m3::units::TokenCount;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

const SEED: u64 = 20_240_519;
const WORDS: [&str; 16] = [
    "Anna", "has", "7", "apples", "and", "gives", "3", "to", "Ben", ".", "How", "many", "are", "left",
    "then", "?",
];
/// (rows, inputs, outputs): a small model's layers at decode and prefill, then SmolLM2-135M's and its head.
const SHAPES: [(usize, usize, usize); 8] = [
    (1, 192, 1024),
    (32, 192, 1024),
    (256, 192, 1024),
    (32, 576, 3072),
    (256, 576, 3072),
    (256, 1536, 576),
    (1, 576, 49152),
    (32, 576, 49152),
];

fn requests(count: usize) -> Vec<Request> {
    (0..count)
        .map(|number| {
            let mut draw = Stream::new(SEED, "bench", number as u64);
            let mut below = |n: usize| (draw.unit() * n as f64) as usize;
            let length = 24 + below(97);
            let words: Vec<&str> = (0..length).map(|_| WORDS[below(WORDS.len())]).collect();
            Request {
                prompt: words.join(" "),
                sampling: Sampling::Greedy,
                max_tokens: TokenCount(64),
                stop: Vec::new(),
                end_with: Vec::new(),
            }
        })
        .collect()
}

/// Best rate of `runs` runs, in tokens per second.
fn rate(engine: &mut dyn Complete, requests: &[Request], runs: usize) -> Result<f64, Box<dyn Error>> {
    let mut best = 0.0f64;
    for _ in 0..runs {
        let (mut tokens, start) = (0, Instant::now());
        engine.complete(requests, &mut |_, answer| {
            tokens += answer.map_or(0, |o| o.prompt_tokens + o.generated_tokens);
            Flow::Continue
        })?;
        best = best.max(tokens as f64 / start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("kernel {}, {} threads", kernel_name(), rayon::current_num_threads());
    let floors = Floors::measure(Duration::from_millis(500));
    let Floors { f32_gflops, half_gflops, read_gb } = floors;
    println!(
        "from registers {f32_gflops:.0} GFLOP/s in f32, {half_gflops:.0} in bf16; from memory {read_gb:.1} GB/s"
    );
    println!("rows   in    out   GFLOP/s f32   of the floor   GFLOP/s bf16   of the floor");
    for (rows, inputs, outputs) in SHAPES {
        print!("{rows:>4} {inputs:>4} {outputs:>6}");
        for half in [false, true] {
            let speed = matmul_gflops(rows, inputs, outputs, half, Duration::from_millis(300));
            let floor = floors.matmul_gflops(rows, inputs, outputs, half);
            print!("   {speed:>11.1}   {:>10.0} %", 100.0 * speed / floor);
        }
        println!();
    }
    let given = std::env::args().skip(1).find(|a| !a.starts_with("--"));
    let path = given.unwrap_or_else(|| "models/tiny/base".to_owned());
    let folder = Folder::open(Path::new(&path))?;
    let settings = EngineSettings::default();
    let start = Instant::now();
    let mut ours = Engine::load(&folder, folder.companions(), &settings)?;
    println!("\n{path}: loaded in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    ours.exchange(&folder)?;
    println!("weights exchanged in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    let mut theirs = ReferenceEngine::load(&folder, folder.companions(), &settings)?;
    let runs = if folder.companions().config.hidden_size < 512 { 5 } else { 1 };
    println!("requests   ours tok/s   reference tok/s   ratio");
    for count in [1, 8, 32] {
        let requests = requests(count);
        let (a, b) = (rate(&mut ours, &requests, runs)?, rate(&mut theirs, &requests, runs.min(2))?);
        println!("{count:>8} {a:>12.0} {b:>17.0} {:>7.1}", a / b);
    }
    Ok(())
}
