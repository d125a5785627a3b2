//! What names mean, in LaTeX and as people type them.

/// Functions and forms.
pub(super) const COMMANDS: [&str; 39] = [
    "frac", "sqrt", "binom", "log", "ln", "exp", "sin", "cos", "tan", "cot", "sec", "csc", "arcsin",
    "arccos", "arctan", "sinh", "cosh", "tanh", "overline", "lfloor", "rfloor", "lceil", "rceil", "max",
    "min", "gcd", "lcm", "det", "Re", "Im", "arg", "deg", "dim", "ker", "Pr", "sup", "inf", "lim", "angle",
];

/// Other spellings of commands.
pub(super) const SPELLINGS: [(&str, &str); 12] = [
    ("dfrac", "frac"),
    ("tfrac", "frac"),
    ("cfrac", "frac"),
    ("dbinom", "binom"),
    ("tbinom", "binom"),
    ("arcsin", "arcsin"),
    ("asin", "arcsin"),
    ("acos", "arccos"),
    ("atan", "arctan"),
    ("lg", "log"),
    ("bar", "overline"),
    ("root", "sqrt"),
];

/// Commands that are one character.
pub(super) const MARKS: [(&str, char); 27] = [
    ("cdot", '*'),
    ("times", '*'),
    ("ast", '*'),
    ("div", '/'),
    ("pm", '±'),
    ("mp", '∓'),
    ("infty", '∞'),
    ("infinity", '∞'),
    ("cup", '∪'),
    ("in", '∈'),
    ("degree", '°'),
    ("circ", '°'),
    ("le", '≤'),
    ("leq", '≤'),
    ("leqslant", '≤'),
    ("ge", '≥'),
    ("geq", '≥'),
    ("geqslant", '≥'),
    ("lt", '<'),
    ("gt", '>'),
    ("vert", '|'),
    ("lvert", '|'),
    ("rvert", '|'),
    ("langle", '⟨'),
    ("rangle", '⟩'),
    ("colon", ':'),
    ("percent", '%'),
];

pub(super) const GREEK: [&str; 30] = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "varepsilon",
    "zeta",
    "eta",
    "theta",
    "vartheta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "pi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "varphi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Omega",
    "ell",
];

/// Commands that only change how something looks.
pub(super) const LOOKS: [&str; 27] = [
    "left",
    "right",
    "big",
    "Big",
    "bigg",
    "Bigg",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "displaystyle",
    "textstyle",
    "limits",
    "quad",
    "qquad",
    "boxed",
    "fbox",
    "mathstrut",
    "operatorname",
    "mathopen",
    "mathclose",
    "hspace",
    "rm",
    "bf",
    "it",
    "middle",
    "nonumber",
];

/// Commands whose braces hold text.
pub(super) const TEXTS: [&str; 11] = [
    "text",
    "mbox",
    "textbf",
    "textit",
    "textrm",
    "textnormal",
    "mathrm",
    "mathbf",
    "mathit",
    "hbox",
    "texttt",
];

/// Words that stand between the items of a list.
pub(super) const JOINTS: [&str; 2] = ["and", "or"];

/// Words of letters that are functions or constants where they stand alone.
pub(super) const TYPED: [&str; 12] =
    ["sqrt", "pi", "sin", "cos", "tan", "log", "ln", "exp", "infinity", "arcsin", "arccos", "arctan"];
