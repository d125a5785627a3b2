//! Content keys: what something *is*, in 32 bytes.
//!
//! A key is blake3 over a canonical form: each field is written as length and bytes under a domain name, so that two
//! different lists of fields can never have the same bytes.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt::{self, Write as _};

/// A content key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The key of plain bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// 64 lower-case hex digits.
    pub fn hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// The first 16 hex digits: enough to name a run among millions.
    pub fn short(self) -> String {
        self.hex()[..16].to_owned()
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        blake3::Hash::from_hex(&text)
            .map(|h| Self(*h.as_bytes()))
            .map_err(|_| serde::de::Error::custom("a digest is 64 hex digits"))
    }
}

/// Builds a [`Digest`] field by field.
pub struct Canonical(blake3::Hasher);

impl Canonical {
    /// Starts a canonical form. `domain` says what kind of thing is digested and the version of its form.
    pub fn new(domain: &str) -> Self {
        let mut form = Self(blake3::Hasher::new());
        form.put(domain.as_bytes());
        form
    }

    fn put(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// A field of bytes.
    #[must_use]
    pub fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.put(name.as_bytes());
        self.put(value);
        self
    }

    /// A field of text.
    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        self.bytes(name, value.as_bytes())
    }

    /// A whole number.
    #[must_use]
    pub fn number(self, name: &str, value: u64) -> Self {
        self.bytes(name, &value.to_le_bytes())
    }

    /// A float, by its bits; −0 counts as 0, for both mean the same weight.
    #[must_use]
    pub fn float(self, name: &str, value: f64) -> Self {
        self.bytes(name, &(value + 0.0).to_bits().to_le_bytes())
    }

    /// Another digest.
    #[must_use]
    pub fn digest(self, name: &str, value: Digest) -> Self {
        self.bytes(name, &value.0)
    }

    /// The key.
    pub fn finish(self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// The SHA-256 of plain bytes, as published checksums are written: 64 lower-case hex digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing into a `String` cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_the_standard_example() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn fields_cannot_be_shifted_into_each_other() {
        let a = Canonical::new("t").text("a", "bc").finish();
        let b = Canonical::new("t").text("ab", "c").finish();
        let c = Canonical::new("u").text("a", "bc").finish();
        assert_ne!(a, b);
        assert_ne!(a, c);
    }

    #[test]
    fn hex_round_trip() {
        let d = Digest::of_bytes(b"x");
        assert_eq!(serde_json::from_str::<Digest>(&serde_json::to_string(&d).unwrap()).unwrap(), d);
    }
}
