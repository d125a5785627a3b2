//! What Python's `json.loads` accepts: JSON, and `NaN`, `Infinity`, `-Infinity`, lone surrogates in escapes; no whole
//! numbers of more than 4,300 digits. Nothing is built, and no stack grows with the text.

use super::instruction::Followed;

/// Python 3.11's limit on the digits of a whole number that is read from text.
const DIGITS: usize = 4300;

/// Depth at which Python's reader raises, a little less in practice, for its callers use some of it.
const DEPTH: usize = 990;

/// Whether `json.loads` takes the text.
pub(super) fn loads(text: &str) -> Followed {
    let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
    match reader.document() {
        Ok(()) => Followed::Yes,
        Err(Refused::Value) => Followed::No,
        Err(Refused::Depth) => Followed::Raises(
            "RecursionError: maximum recursion depth exceeded while decoding a JSON document",
        ),
    }
}

/// Which exception `json.loads` raises.
enum Refused {
    Value,
    Depth,
}

#[derive(Clone, Copy, PartialEq)]
enum Open {
    Array,
    Object,
}

struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<(), Refused> {
        let mut open: Vec<Open> = Vec::new();
        self.space();
        loop {
            // A value begins here.
            match self.peek() {
                Some(b'[') => {
                    self.at += 1;
                    self.space();
                    if !self.take(b']') {
                        enter(&mut open, Open::Array)?;
                        continue;
                    }
                }
                Some(b'{') => {
                    self.at += 1;
                    self.space();
                    if !self.take(b'}') {
                        enter(&mut open, Open::Object)?;
                        self.key()?;
                        continue;
                    }
                }
                Some(b'"') => self.string()?,
                _ => self.scalar()?,
            }
            // A value ended here.
            loop {
                self.space();
                let Some(inner) = open.last().copied() else {
                    return if self.at == self.bytes.len() { Ok(()) } else { Err(Refused::Value) };
                };
                if self.take(b',') {
                    self.space();
                    if inner == Open::Object {
                        self.key()?;
                    }
                    break;
                }
                if !self.take(if inner == Open::Array { b']' } else { b'}' }) {
                    return Err(Refused::Value);
                }
                open.pop();
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn key(&mut self) -> Result<(), Refused> {
        if self.peek() != Some(b'"') {
            return Err(Refused::Value);
        }
        self.string()?;
        self.space();
        if !self.take(b':') {
            return Err(Refused::Value);
        }
        self.space();
        Ok(())
    }

    fn string(&mut self) -> Result<(), Refused> {
        self.at += 1;
        loop {
            let byte = self.peek().ok_or(Refused::Value)?;
            self.at += 1;
            match byte {
                b'"' => return Ok(()),
                b'\\' => match self.peek() {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                    Some(b'u') => {
                        let digits = self.bytes.get(self.at + 1..self.at + 5).ok_or(Refused::Value)?;
                        if !digits.iter().all(u8::is_ascii_hexdigit) {
                            return Err(Refused::Value);
                        }
                        self.at += 5;
                    }
                    _ => return Err(Refused::Value),
                },
                0..=0x1f => return Err(Refused::Value),
                _ => {}
            }
        }
    }

    fn scalar(&mut self) -> Result<(), Refused> {
        for word in ["true", "false", "null", "NaN", "Infinity", "-Infinity"] {
            if self.bytes[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(());
            }
        }
        self.take(b'-');
        let whole = self.at;
        if !self.take(b'0') && self.digits() == 0 {
            return Err(Refused::Value);
        }
        let digits = self.at - whole;
        let mut is_whole = true;
        // A fraction or an exponent without digits is not taken, and what is left is no JSON.
        for (marks, signs) in [(&b"."[..], &b""[..]), (b"eE", b"+-")] {
            let before = self.at;
            if self.peek().is_some_and(|b| marks.contains(&b)) {
                self.at += 1;
                if self.peek().is_some_and(|b| signs.contains(&b)) {
                    self.at += 1;
                }
                if self.digits() == 0 {
                    self.at = before;
                } else {
                    is_whole = false;
                }
            }
        }
        if is_whole && digits > DIGITS { Err(Refused::Value) } else { Ok(()) }
    }

    fn digits(&mut self) -> usize {
        let before = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - before
    }
}

fn enter(open: &mut Vec<Open>, what: Open) -> Result<(), Refused> {
    open.push(what);
    if open.len() > DEPTH { Err(Refused::Depth) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checked with `json.loads` of Python 3.11.
    #[test]
    fn json_is_what_python_takes_for_it() {
        let taken = [
            "1",
            "-0",
            "1.5e+3",
            "NaN",
            "-Infinity",
            "\"\\ud800\"",
            "[]",
            "{}",
            "[1, [2], {\"a\": {}}]",
            "{\"a\": 1, \"a\": 2}",
            "\"é\"",
            "[[[]]]",
            "{\"a\":[]}",
            "\"\\/\"",
            "\"\u{7f}\"",
        ];
        let refused = [
            "",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "nan",
            "'a'",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "[1 2]",
            "{\"a\" 1}",
            "\"a",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"a\nb\"",
            "[",
            "{",
            "]",
            "1 2",
            "{1:2}",
            "[1}",
            "\u{feff}1",
            "True",
            "\u{a0}1",
        ];
        for text in taken {
            assert_eq!(loads(text), Followed::Yes, "{text}");
        }
        for text in refused {
            assert_eq!(loads(text), Followed::No, "{text}");
        }
        assert_eq!(loads(&"9".repeat(4300)), Followed::Yes);
        assert_eq!(loads(&"9".repeat(4301)), Followed::No);
        assert_eq!(loads(&("9".repeat(4301) + ".5")), Followed::Yes);
        assert!(matches!(loads(&"[".repeat(1_000_000)), Followed::Raises(_)));
    }
}
