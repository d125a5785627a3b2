//! Which vector instructions this CPU has, found at run time, and code compiled for them.
#![expect(
    unsafe_code,
    reason = "calls code that is compiled for an instruction set, with an `Isa` as proof of it"
)]

/// An instruction set that this CPU has: a value exists only after a check, so holding one is proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Isa(Kind);

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

impl Isa {
    /// The best of this CPU.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if Self::has_avx512() {
                return Self(Kind::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self(Kind::Avx2);
            }
        }
        Self::portable()
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
        Self(Kind::Portable)
    }

    /// All of this CPU, for tests that compare them.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Self> {
        let mut all = vec![Self::portable()];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.push(Self(Kind::Avx2));
            }
            if Self::has_avx512() {
                all.push(Self(Kind::Avx512));
            }
        }
        all
    }

    /// Which one it is.
    pub(crate) fn kind(self) -> Kind {
        self.0
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
        match self.0 {
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

/// The instruction set that the arithmetic of this process uses. All give the same bits.
pub fn kernel_name() -> &'static str {
    match Isa::detect().kind() {
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => "AVX-512",
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => "AVX2 with FMA",
        Kind::Portable => "portable",
    }
}
