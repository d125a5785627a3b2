//! What can go wrong with a report.

use thiserror::Error;

/// A report that cannot be made.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A picture that cannot be turned into a bitmap.
    #[error("the picture {name} cannot be turned into a bitmap: {reason}; its SVG is complete without")]
    Bitmap {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
}
