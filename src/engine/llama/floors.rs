//! What the machine could do at best: what the figures of a bench stand beside.
#![expect(
    unsafe_code,
    reason = "calls code that is compiled for an instruction set, with an `Isa` as proof of it"
)]

use super::half;
use crate::isa::{Isa, Kind};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Bytes that are read: more than caches hold.
const READ: usize = 256 << 20;
/// Steps between two looks at the clock.
const STEPS: usize = 1 << 14;

/// What all threads of the current rayon pool do together when nothing else limits them.
#[derive(Clone, Copy, Debug)]
pub struct Floors {
    /// 10⁹ operations per second in f32, a fused multiplication and addition being two, all numbers in registers.
    pub f32_gflops: f64,
    /// The same with factors in bfloat16, by the instructions that the engine uses.
    pub half_gflops: f64,
    /// 10⁹ bytes per second that come from memory, one after the other.
    pub read_gb: f64,
}

impl Floors {
    /// Measures each for about `time`.
    pub fn measure(time: Duration) -> Self {
        let isa = Isa::detect();
        Self {
            f32_gflops: rate(time, || fused(isa)),
            half_gflops: rate(time, || half::in_registers(isa, STEPS).unwrap_or_else(|| fused(isa))),
            read_gb: read(isa, time),
        }
    }

    /// The most that a product of `rows` rows with a matrix of `inputs · outputs` weights can reach, in 10⁹ operations per
    /// second, if the weights come from memory: in bfloat16, if `half`, else in f32.
    pub fn matmul_gflops(&self, rows: usize, inputs: usize, outputs: usize, half: bool) -> f64 {
        let (gflops, bytes) = if half { (self.half_gflops, 2) } else { (self.f32_gflops, 4) };
        let operations = 2.0 * (rows * inputs * outputs) as f64;
        let seconds = (operations / gflops).max((inputs * outputs * bytes) as f64 / self.read_gb);
        operations / seconds
    }
}

/// 10⁹ a second of what all threads do, `work` saying how much each call did.
fn rate(time: Duration, work: impl Fn() -> usize + Sync) -> f64 {
    let start = Instant::now();
    let done = rayon::broadcast(|_| {
        let mut done = 0;
        while start.elapsed() < time {
            done += work();
        }
        done
    });
    done.iter().sum::<usize>() as f64 / start.elapsed().as_secs_f64() / 1e9
}

/// Fused multiplications and additions; how many operations they were.
fn fused(isa: Isa) -> usize {
    match isa.kind() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of this kind exists only where the CPU has these instructions.
        Kind::Avx512 => unsafe { x86::fused_512() },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Kind::Avx2 => unsafe { x86::fused_256() },
        Kind::Portable => {
            let factor = black_box(0.5f32);
            black_box((0..STEPS).fold(0.0, |sum, _| factor.mul_add(factor, sum)));
            2 * STEPS
        }
    }
}

/// Chains that hide how long an operation takes, and fit into the registers.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::STEPS;
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_set1_ps};
    use std::hint::black_box;

    const CHAINS: usize = 12;

    #[target_feature(enable = "avx512f")]
    pub(super) fn fused_512() -> usize {
        let factor = _mm512_set1_ps(black_box(0.5));
        let mut sums = [factor; CHAINS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(factor, factor, *sum);
            }
        }
        black_box(sums);
        2 * STEPS * CHAINS * 16
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn fused_256() -> usize {
        let factor = _mm256_set1_ps(black_box(0.5));
        let mut sums = [factor; CHAINS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(factor, factor, *sum);
            }
        }
        black_box(sums);
        2 * STEPS * CHAINS * 8
    }
}

/// 10⁹ bytes a second, each thread reading a part of its own from end to end.
fn read(isa: Isa, time: Duration) -> f64 {
    const AT_ONCE: usize = 64;
    let share = READ / size_of::<u64>() / rayon::current_num_threads() / AT_ONCE * AT_ONCE;
    let read = rayon::broadcast(|_| {
        let numbers: Vec<u64> = (0..share as u64).collect();
        let (mut bytes, mut taken) = (0, 0.0);
        while taken < time.as_secs_f64() {
            let start = Instant::now();
            let sums = isa.run(
                #[inline(always)]
                || {
                    let mut sums = [0u64; AT_ONCE];
                    for chunk in numbers.as_chunks::<AT_ONCE>().0 {
                        for (sum, number) in sums.iter_mut().zip(chunk) {
                            *sum = sum.wrapping_add(*number);
                        }
                    }
                    sums
                },
            );
            black_box(sums);
            taken += start.elapsed().as_secs_f64();
            bytes += size_of_val(numbers.as_slice());
        }
        bytes as f64 / taken
    });
    read.iter().sum::<f64>() / 1e9
}
