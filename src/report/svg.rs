//! A picture as SVG: shapes and texts by class, so that one style sheet makes it light or dark.

use std::fmt::Write;

/// What the picture is shown on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// A screen, which is light or dark as the reader has it.
    Screen,
    /// Paper, or a bitmap: light.
    Paper,
}

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture. Lengths are in CSS pixels from the upper left corner.
#[derive(Clone, Debug, PartialEq)]
pub struct Svg {
    width: f64,
    height: f64,
    title: String,
    about: String,
    body: String,
}

/// The same classes in both themes: `f` fills, `l` lines, `t` texts, 1 to 6 for series.
const LIGHT: &str = "\
.m3-bg{fill:#fff}.m3-t{fill:#1b1f24}.m3-q{fill:#57606a}.m3-axis{stroke:#57606a}.m3-grid{stroke:#d8dee4}\
.m3-ink{stroke:#1b1f24}.m3-paper{fill:#fff}.m3-halo{stroke:#fff;stroke-width:3.5;stroke-opacity:.75}\
.m3-f1{fill:#1f6fb2}.m3-f2{fill:#d2691e}.m3-f3{fill:#2e8b57}.m3-f4{fill:#8250a8}.m3-f5{fill:#b8860b}.m3-f6{fill:#5b6770}\
.m3-l1{stroke:#1f6fb2}.m3-l2{stroke:#d2691e}.m3-l3{stroke:#2e8b57}.m3-l4{stroke:#8250a8}.m3-l5{stroke:#b8860b}\
.m3-l6{stroke:#5b6770}";
const DARK: &str = "\
.m3-bg{fill:#15181d}.m3-t{fill:#e6edf3}.m3-q{fill:#9aa5b1}.m3-axis{stroke:#9aa5b1}.m3-grid{stroke:#2d333b}\
.m3-ink{stroke:#e6edf3}.m3-paper{fill:#15181d}.m3-halo{stroke:#15181d}\
.m3-f1{fill:#58a6e6}.m3-f2{fill:#f0955a}.m3-f3{fill:#5cc48a}.m3-f4{fill:#bd93e0}.m3-f5{fill:#e0b94a}.m3-f6{fill:#98a4af}\
.m3-l1{stroke:#58a6e6}.m3-l2{stroke:#f0955a}.m3-l3{stroke:#5cc48a}.m3-l4{stroke:#bd93e0}.m3-l5{stroke:#e0b94a}\
.m3-l6{stroke:#98a4af}";
/// Text has one family, whose letters ship with the program for bitmaps; a browser may take its own.
const SHAPES: &str = "\
.m3-text{font-family:'DejaVu Sans',Verdana,sans-serif;font-size:12px}.m3-big{font-size:17px}.m3-small{font-size:10.5px}\
.m3-thin{stroke-width:1;fill:none}.m3-wide{stroke-width:2;fill:none}.m3-wider{stroke-width:4;fill:none}\
.m3-widest{stroke-width:6.5;fill:none}.m3-faint{fill-opacity:.1}.m3-open{stroke-width:1.6}";

impl Svg {
    /// An empty picture. `title` and `about` are what a screen reader says.
    pub(super) fn new(width: f64, height: f64, title: &str, about: &str) -> Self {
        let mut picture =
            Self { width, height, title: title.to_owned(), about: about.to_owned(), body: String::new() };
        picture.rect((0.0, 0.0), (width, height), "m3-bg", "");
        picture
    }

    /// The picture as a file, or as part of a page.
    pub fn markup(&self, theme: Theme) -> String {
        let dark = match theme {
            Theme::Screen => format!("@media (prefers-color-scheme: dark){{{DARK}}}"),
            Theme::Paper => String::new(),
        };
        let (w, h) = (short(self.width), short(self.height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"img\">\n\
             <title>{}</title>\n<desc>{}</desc>\n<style>{LIGHT}{SHAPES}{dark}</style>\n{}</svg>\n",
            escaped(&self.title),
            escaped(&self.about),
            self.body
        )
    }

    /// A rectangle. `tip` is what a pointer that rests on it shows; empty for nothing.
    pub(super) fn rect(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), class: &str, tip: &str) {
        let (x, y, w, h) = (short(x), short(y), short(w.max(0.0)), short(h.max(0.0)));
        self.shape(&format!("rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\""), class, tip);
    }

    /// A rectangle that lets through what is behind it.
    pub(super) fn tinted(
        &mut self,
        (x, y): (f64, f64),
        (w, h): (f64, f64),
        class: &str,
        opacity: f64,
        tip: &str,
    ) {
        let (x, y, w, h, o) = (short(x), short(y), short(w), short(h), short(opacity));
        let form = format!("rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill-opacity=\"{o}\"");
        self.shape(&form, class, tip);
    }

    /// A line.
    pub(super) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        let (x1, y1, x2, y2) = (short(x1), short(y1), short(x2), short(y2));
        self.shape(&format!("line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\""), class, "");
    }

    /// A line through several points, closed or not.
    pub(super) fn path(&mut self, points: &[(f64, f64)], closed: bool, class: &str) {
        let list: Vec<String> = points.iter().map(|(x, y)| format!("{},{}", short(*x), short(*y))).collect();
        let name = if closed { "polygon" } else { "polyline" };
        self.shape(&format!("{name} points=\"{}\"", list.join(" ")), class, "");
    }

    /// A disc.
    pub(super) fn disc(&mut self, (x, y): (f64, f64), radius: f64, class: &str, tip: &str) {
        self.shape(
            &format!("circle cx=\"{}\" cy=\"{}\" r=\"{}\"", short(x), short(y), short(radius)),
            class,
            tip,
        );
    }

    /// A square that stands on a corner: the sign of a published value.
    pub(super) fn diamond(&mut self, (x, y): (f64, f64), radius: f64, class: &str, tip: &str) {
        let r = radius;
        let corners = [(x, y - r), (x + r, y), (x, y + r), (x - r, y)];
        let list: Vec<String> = corners.iter().map(|(x, y)| format!("{},{}", short(*x), short(*y))).collect();
        self.shape(&format!("polygon points=\"{}\"", list.join(" ")), class, tip);
    }

    /// A text on one line.
    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = writeln!(
            self.body,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\" class=\"m3-text {class}\">{}</text>",
            short(x),
            short(y),
            escaped(text)
        );
    }

    fn shape(&mut self, form: &str, class: &str, tip: &str) {
        let _ = if tip.is_empty() {
            writeln!(self.body, "<{form} class=\"{class}\"/>")
        } else {
            let name = form.split(' ').next().unwrap_or_default();
            writeln!(self.body, "<{form} class=\"{class}\"><title>{}</title></{name}>", escaped(tip))
        };
    }
}

/// A text in lines of at most so many characters, broken between words.
pub(super) fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Text that is no markup, in XML and in HTML. Characters that XML cannot hold become its sign for the unknown.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A length with at most two digits behind the point.
fn short(x: f64) -> String {
    let text = format!("{x:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        let mut picture = Svg::new(10.0, 10.0, "</title><script>", "a & b");
        picture.text((1.0, 2.5), Anchor::Start, "m3-t", "</text><script>\u{1}\"'");
        let markup = picture.markup(Theme::Screen);
        assert!(!markup.contains("<script>"), "{markup}");
        assert!(
            markup.contains("&lt;/text&gt;&lt;script&gt;\u{fffd}&quot;&#39;") && markup.contains("y=\"2.5\"")
        );
        assert!(markup.contains("dark") && !picture.markup(Theme::Paper).contains("dark"));
    }

    #[test]
    fn text_is_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("incomprehensible x", 5), ["incomprehensible", "x"]);
    }
}
