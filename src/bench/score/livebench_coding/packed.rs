//! Tests as LiveCodeBench packs them: base64 of zlib of a pickle of a text. A pickle is a program, so it is not run:
//! the reader knows the instructions that one text needs, and refuses all others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use std::io::Read;

/// More than any published row has, unpacked; what is larger is made to fill the memory.
const MAX_BYTES: u64 = 256 << 20;

/// The text in a packed field, or what the field must be instead.
pub(super) fn unpack(field: &str) -> Result<String, &'static str> {
    const FORM: &str = "a JSON list of tests, or one packed as base64 of zlib of a pickled text";
    let letters: Vec<u8> = field.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let deflated = STANDARD.decode(letters).map_err(|_| FORM)?;
    let mut pickle = Vec::new();
    ZlibDecoder::new(deflated.as_slice()).take(MAX_BYTES + 1).read_to_end(&mut pickle).map_err(|_| FORM)?;
    if pickle.len() as u64 > MAX_BYTES {
        return Err("at most 256 MiB when it is unpacked; this is more, as if made to fill the memory");
    }
    text(&pickle).ok_or(
        "a pickle of one text and nothing else; what this one asks for besides is not done, since a pickle can run programs",
    )
}

/// Reads from the front of a slice.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(n).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    /// A text behind its length, which is a little-endian number of `width` bytes.
    fn text(&mut self, width: u64) -> Option<&'a str> {
        let len = self.take(width)?.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
        std::str::from_utf8(self.take(len)?).ok()
    }
}

/// The one text in a pickle (Python, `pickletools`); protocol 0, which nobody writes any more, is not read.
fn text(pickle: &[u8]) -> Option<String> {
    let mut rest = Cursor(pickle);
    let mut found = None;
    loop {
        let text = match rest.take(1)?[0] {
            // PROTO, FRAME: what follows, and how long it is.
            0x80 => rest.take(1).map(|_| None)?,
            0x95 => rest.take(8).map(|_| None)?,
            // MEMOIZE, BINPUT, LONG_BINPUT: names for what nobody asks for.
            0x94 => None,
            b'q' => rest.take(1).map(|_| None)?,
            b'r' => rest.take(4).map(|_| None)?,
            // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8.
            0x8c => Some(rest.text(1)?),
            b'X' => Some(rest.text(4)?),
            0x8d => Some(rest.text(8)?),
            // STOP
            b'.' => return found.filter(|_| rest.0.is_empty()),
            _ => return None,
        };
        if let Some(text) = text
            && found.replace(text.to_owned()).is_some()
        {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn packed(pickle: &[u8]) -> String {
        let mut deflater = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        deflater.write_all(pickle).unwrap();
        STANDARD.encode(deflater.finish().unwrap())
    }

    #[test]
    fn a_pickled_text_is_read_in_every_protocol_that_is_written() {
        // `pickle.dumps("[é]", protocol)` for 1, 2, 3, 4 and 5.
        let pickles: [&[u8]; 5] = [
            b"X\x04\0\0\0[\xc3\xa9]q\0.",
            b"\x80\x02X\x04\0\0\0[\xc3\xa9]q\0.",
            b"\x80\x03X\x04\0\0\0[\xc3\xa9]q\0.",
            b"\x80\x04\x95\x08\0\0\0\0\0\0\0\x8c\x04[\xc3\xa9]\x94.",
            b"\x80\x05\x95\x08\0\0\0\0\0\0\0\x8c\x04[\xc3\xa9]\x94.",
        ];
        for pickle in pickles {
            assert_eq!(unpack(&packed(pickle)).as_deref(), Ok("[é]"), "{pickle:?}");
            for cut in 0..pickle.len() {
                assert!(unpack(&packed(&pickle[..cut])).is_err(), "{pickle:?} to {cut}");
            }
        }
        // As Python wraps lines: base64.encodebytes.
        let folded: String = packed(pickles[4]).chars().flat_map(|c| [c, '\n']).collect();
        assert_eq!(unpack(&folded).as_deref(), Ok("[é]"));
    }

    #[test]
    fn a_pickle_that_is_a_program_is_refused() {
        let pickles: [&[u8]; 6] = [
            // os.system("true"), in protocols 0 and 4
            b"cos\nsystem\n(S'true'\ntR.",
            b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94.",
            b"\x80\x04]\x94.",                      // a list
            b"\x80\x04\x8c\x01a\x94\x8c\x01b\x94.", // two texts
            b"\x80\x04\x8c\x01a\x94.more",
            b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa.", // a length beyond the end
        ];
        for pickle in pickles {
            let said = unpack(&packed(pickle)).unwrap_err();
            assert!(said.contains("a pickle of one text"), "{pickle:?}: {said}");
        }
    }

    #[test]
    fn a_bomb_is_not_unpacked_to_its_end() {
        let mut deflater = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        let zeros = vec![0; 1 << 20];
        for _ in 0..300 {
            deflater.write_all(&zeros).unwrap();
        }
        let bomb = STANDARD.encode(deflater.finish().unwrap());
        assert!(bomb.len() < 1 << 20);
        assert!(unpack(&bomb).unwrap_err().contains("256 MiB"));
        assert!(unpack("not base64!").unwrap_err().contains("base64"));
        assert!(unpack("AAAA").unwrap_err().contains("zlib"));
    }
}
