//! Which vector instructions this CPU has, found once at run time.

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
            if is_x86_feature_detected!("avx512f") {
                return Self(Kind::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self(Kind::Avx2);
            }
        }
        Self::portable()
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
            if is_x86_feature_detected!("avx512f") {
                all.push(Self(Kind::Avx512));
            }
        }
        all
    }

    /// Which one it is.
    pub(crate) fn kind(self) -> Kind {
        self.0
    }
}

/// The instruction set that the matrix products of this process use. All give the same bits.
pub fn kernel_name() -> &'static str {
    match Isa::detect().kind() {
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => "AVX-512",
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => "AVX2 with FMA",
        Kind::Portable => "portable",
    }
}
