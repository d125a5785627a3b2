//! Does a program that passes its tests look like one that cheats? Some deceive every harness that runs candidate and
//! tests in one interpreter, the references too: an object that is equal to everything, a look at the tests' frames.
//! Such a verdict stays what the reference's is; it is flagged, for people to look at. A look at the text alone, so it
//! may be wrong either way.

use regex::Regex;
use std::sync::LazyLock;

/// What is looked for, and how it is called in a verdict.
static SIGNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let signs = [
        (
            // The whole of the method, behind whatever documents it.
            r#"(?m)\bdef\s+__eq__\s*\([^)]*\)[^:\n]*:\s*(?:#[^\n]*\s*|"""[^"]*"""\s*|'[^'\n]*'\s*|"[^"\n]*"\s*)*return\s+(?:True|1|not\s+False)\s*(?:;|#|$)"#,
            "an `__eq__` that is always true",
        ),
        (r"\b__eq__\s*=\s*lambda\b[^:\n]*:\s*(?:True|1)\b", "an `__eq__` that is always true"),
        (r"\bdef\s+__ne__\s*\([^)]*\)[^:\n]*:\s*return\s+(?:False|0)\b", "an `__ne__` that is always false"),
        (
            r"\bbuiltins\s*\.\s*\w+\s*=[^=]|\bsetattr\s*\(\s*(?:__)?builtins|\b__builtins__\b",
            "changes to builtins",
        ),
        (
            r"\bsys\s*\.\s*_getframe\b|\binspect\s*\.\s*(?:stack|currentframe)\b|\b(?:f_back|tb_frame|f_globals|f_locals)\b",
            "a look at its callers' frames",
        ),
        (r"\bgc\s*\.\s*get_(?:objects|referrers)\b", "a look at all objects in memory"),
        (r"\bsys\s*\.\s*(?:settrace|setprofile)\b", "a hook into every call"),
    ];
    signs
        .into_iter()
        .map(|(pattern, what)| (Regex::new(pattern).unwrap_or_else(|e| unreachable!("{e}")), what))
        .collect()
});

/// The first sign of deceit in a program.
pub(super) fn of(code: &str) -> Option<&'static str> {
    SIGNS.iter().find(|(sign, _)| sign.is_match(code)).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn what_deceives_tests_is_seen() {
        let always = Some("an `__eq__` that is always true");
        for (code, what) in [
            ("class A:\n    def __eq__(self, other):\n        return True\n", always),
            ("class A:\n    def __eq__(s, o): return True", always),
            (
                "class A(int):\n    def __eq__(self, o: object) -> bool:\n        '''Equal.'''\n        return True  # yes",
                always,
            ),
            (
                "class A:\n    def __eq__(self, o):\n        # all\n        \"\"\"Doc.\"\"\"\n        return 1",
                always,
            ),
            ("class A:\n    __eq__ = lambda self, o: True", always),
            ("A = type('A', (), {})\nA.__eq__ = lambda *a: True", always),
            ("import builtins\nbuiltins.len = lambda x: 3", Some("changes to builtins")),
            ("__builtins__['abs'] = None", Some("changes to builtins")),
            ("import sys\nx = sys._getframe(1)", Some("a look at its callers' frames")),
            ("import gc\ngc.get_objects()", Some("a look at all objects in memory")),
        ] {
            assert_eq!(of(code), what, "{code}");
        }
    }

    #[test]
    fn honest_programs_are_not_flagged() {
        for code in [
            "",
            "def f(x):\n    return True",
            "class P:\n    def __eq__(self, o):\n        return self.x == o.x\n    def __hash__(self):\n        return 1",
            "class P:\n    def __eq__(self, o):\n        if self.x == o.x:\n            return True\n        return False",
            "class P:\n    def __eq__(self, o):\n        return True and self.x == o.x",
            "class P:\n    def __lt__(self, o):\n        return True",
            "import builtins\nx = builtins.len == len",
        ] {
            assert_eq!(of(code), None, "{code}");
        }
    }

    #[test]
    fn a_long_text_is_looked_at_in_linear_time() {
        for part in ["def __eq__(", "__eq__ = lambda ", "def __eq__(): \"\"\"", "return True "] {
            assert_eq!(of(&part.repeat(200_000)), None);
        }
    }
}
