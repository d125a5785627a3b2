//! A picture as a bitmap. Its letters come from a font that ships with the program, so that every machine draws the same.

use super::{Chart, ReportError, Theme};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb::Database};
use std::sync::Arc;

/// DejaVu Sans with the letters of European languages and the signs of our sentences.
const FONT: &[u8] = include_bytes!("font/DejaVuSans-subset.ttf");
/// Bitmap pixels for each CSS pixel.
const DENSITY: f32 = 2.0;

/// The figure as PNG, on white.
pub fn png(figure: &Chart) -> Result<Vec<u8>, ReportError> {
    let failed = |reason: String| ReportError::Bitmap { name: figure.sheet.name.clone(), reason };
    let mut fonts = Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let options = Options { fontdb: Arc::new(fonts), ..Options::default() };
    let tree =
        Tree::from_str(&figure.svg.markup(Theme::Paper), &options).map_err(|e| failed(e.to_string()))?;
    let size = tree.size().to_int_size().scale_by(DENSITY).ok_or_else(|| failed("it is empty".into()))?;
    let mut pixels = Pixmap::new(size.width(), size.height()).ok_or_else(|| failed("it is empty".into()))?;
    resvg::render(&tree, Transform::from_scale(DENSITY, DENSITY), &mut pixels.as_mut());
    pixels.encode_png().map_err(|e| failed(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Sheet;
    use crate::report::svg::{Anchor, Svg};

    /// How many pixels of a picture with this text are dark.
    fn ink(text: &str) -> usize {
        let mut svg = Svg::new(120.0, 20.0, "t", "");
        svg.text((2.0, 15.0), Anchor::Start, "m3-t", text);
        let sheet = Sheet {
            name: "t".into(),
            title: String::new(),
            suite: String::new(),
            notice: String::new(),
            blocks: Vec::new(),
            footnotes: Vec::new(),
        };
        let picture = Pixmap::decode_png(&png(&Chart { sheet, svg }).unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (240, 40));
        picture.pixels().iter().filter(|p| p.red() < 128).count()
    }

    #[test]
    fn letters_are_drawn_without_a_font_of_the_machine() {
        assert_eq!(ink(""), 0);
        // Every sign that our own sentences use has a glyph.
        for sign in ["m", "λ", "³", "–", "±", "·", "θ", "δ", "Σ", "½", "→", "×", "≥", "…", "◇", "★", "†"]
        {
            assert!(ink(sign) > 3, "{sign} is not drawn");
        }
        assert!(ink("mmmm") > 3 * ink("m"));
    }
}
