//! What an attack changed, marked in the text.

/// The new text with what went in `[-…-]` and what came in `{+…+}`, as wdiff marks it, by pieces between white space.
pub fn marked(old: &str, new: &str) -> String {
    let (a, b) = (pieces(old), pieces(new));
    // The longest common subsequence, from the end.
    let mut longest = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i][j] = if a[i] == b[j] {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let (mut text, mut gone, mut come) = (String::new(), String::new(), String::new());
    let flush = |text: &mut String, gone: &mut String, come: &mut String| {
        for (marks, part) in [(("[-", "-]"), gone), (("{+", "+}"), come)] {
            if !part.is_empty() {
                text.push_str(marks.0);
                text.push_str(part);
                text.push_str(marks.1);
                part.clear();
            }
        }
    };
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            flush(&mut text, &mut gone, &mut come);
            text.push_str(a[i]);
            i += 1;
            j += 1;
        } else if j == b.len() || (i < a.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            gone.push_str(a[i]);
            i += 1;
        } else {
            come.push_str(b[j]);
            j += 1;
        }
    }
    flush(&mut text, &mut gone, &mut come);
    text
}

/// Runs of white space, and what is between them.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| c.is_whitespace() != first.is_whitespace()).unwrap_or(rest.len());
        let (piece, behind) = rest.split_at(end);
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_and_what_came_is_marked() {
        assert_eq!(marked("a b c", "a x c"), "a [-b-]{+x+} c");
        assert_eq!(
            marked("say 'yes'.", "say 'yes and true is true '."),
            "say [-'yes'.-]{+'yes and true is true '.+}"
        );
        assert_eq!(marked("same", "same"), "same");
        assert_eq!(marked("", "ü"), "{+ü+}");
    }
}
