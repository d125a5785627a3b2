//! Which vector instructions this CPU has, found at run time, and code compiled for them.
#![expect(
    unsafe_code,
    reason = "calls code that is compiled for an instruction set, with an `Isa` as proof of it"
)]

use std::sync::LazyLock;

/// An instruction set that this CPU has: a value exists only after a check, so holding one is proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Isa {
    kind: Kind,
    halves: Halves,
}

/// The instruction sets for which there is code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// 32 registers of 16 numbers.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 16 registers of 8 numbers, with fused multiply and add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Whatever the target has by default. Same bits; on x86-64 slow, because `mul_add` is then a function call.
    Portable,
}

/// What multiplies numbers in bfloat16.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Halves {
    /// AMX: tiles of 16 rows by 32 numbers. Only beside AVX-512.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Tiles,
    /// AVX-512 BF16: vectors of 16 pairs.
    #[cfg(target_arch = "x86_64")]
    Dots,
    /// What multiplies f32, after widening.
    Widened,
}

impl Isa {
    /// The best of this CPU. It is looked for once.
    pub(crate) fn detect() -> Self {
        static BEST: LazyLock<Isa> = LazyLock::new(Isa::best);
        *BEST
    }

    fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if Self::has_avx512() {
                return Self { kind: Kind::Avx512, halves: Self::best_halves() };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self { kind: Kind::Avx2, halves: Halves::Widened };
            }
        }
        Self::portable()
    }

    /// What multiplies bfloat16 on a CPU with AVX-512.
    #[cfg(target_arch = "x86_64")]
    fn best_halves() -> Halves {
        #[cfg(target_os = "linux")]
        if may_use_tiles() {
            return Halves::Tiles;
        }
        if is_x86_feature_detected!("avx512bf16") { Halves::Dots } else { Halves::Widened }
    }

    /// The part that every CPU with AVX-512 for servers and desktops has (Skylake-X, Zen 4 and later).
    #[cfg(target_arch = "x86_64")]
    fn has_avx512() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
    }

    /// The one that is everywhere.
    pub(crate) fn portable() -> Self {
        Self { kind: Kind::Portable, halves: Halves::Widened }
    }

    /// All of this CPU, for tests that compare them.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Self> {
        let mut all = vec![Self::portable()];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.push(Self { kind: Kind::Avx2, halves: Halves::Widened });
            }
            if Self::has_avx512() {
                all.push(Self { kind: Kind::Avx512, halves: Halves::Widened });
                if is_x86_feature_detected!("avx512bf16") {
                    all.push(Self { kind: Kind::Avx512, halves: Halves::Dots });
                }
                if Self::best_halves() != Halves::Widened && Self::best_halves() != Halves::Dots {
                    all.push(Self { kind: Kind::Avx512, halves: Self::best_halves() });
                }
            }
        }
        all
    }

    /// Which one it is.
    pub(crate) fn kind(self) -> Kind {
        self.kind
    }

    /// What multiplies bfloat16.
    pub(crate) fn halves(self) -> Halves {
        self.halves
    }

    /// Runs `work`, compiled for this instruction set as far as it is inlined: loops in it then run in its vectors. The
    /// compiler contracts and reorders nothing, so every set gives the same bits.
    #[inline]
    pub(crate) fn run<R>(self, work: impl FnOnce() -> R) -> R {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn avx512<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        match self.kind {
            // SAFETY: an `Isa` of this kind exists only where the CPU has these features.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { avx512(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { avx2(work) },
            Kind::Portable => work(),
        }
    }
}

/// Whether the CPU has AMX with bfloat16 and the kernel lets this process use it, which has to be asked for once
/// (Linux, `Documentation/arch/x86/xstate.rst`).
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn may_use_tiles() -> bool {
    use std::arch::x86_64::__cpuid_count;
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_int = 18;
    // Leaf 7 exists wherever AVX-512 does. EDX: bit 22 is AMX-BF16, bit 24 is AMX-TILE.
    let features = __cpuid_count(7, 0).edx;
    // SAFETY: this call only asks for a larger area in which the kernel keeps registers; an older kernel refuses it.
    features & (1 << 22) != 0
        && features & (1 << 24) != 0
        && unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) } == 0
}

/// The instruction set that the arithmetic of this process uses. All give the same bits; but for AVX-512 BF16, which sums
/// products of numbers in bfloat16 in an order of its own.
pub fn kernel_name() -> &'static str {
    match Isa::detect().kind() {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Kind::Avx512 if Isa::detect().halves() == Halves::Tiles => "AVX-512, AMX for bfloat16",
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 if Isa::detect().halves() == Halves::Dots => "AVX-512, AVX-512 BF16 for bfloat16",
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => "AVX-512",
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => "AVX2 with FMA",
        Kind::Portable => "portable",
    }
}
