//! What holds for every text.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use leno_dialects::analyze::analyze;
use leno_dialects::fuzz;
use leno_dialects::load::load;
use proptest::prelude::*;

use crate::dump;
use crate::golden::{documents, options, snapshot};

/// The texts of all golden pairs.
pub(crate) static CORPUS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut texts = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    texts.sort();
    texts
});

/// One change of a text, its places as fractions of the text's length.
#[derive(Clone, Debug)]
enum Edit {
    /// Cuts a piece out.
    Cut(f64, f64),
    /// Puts a piece of another place in.
    Copy(f64, f64, f64),
    /// Puts a word in.
    Insert(f64, &'static str),
    /// Puts any characters in.
    Noise(f64, String),
}

/// What trips readers.
const WORDS: &[&str] = &[
    "\n",
    " ",
    ":",
    "- ",
    "---\n",
    "...\n",
    "&a ",
    "*a",
    "!!str ",
    "!x ",
    "? ",
    "<<: ",
    "{",
    "}",
    "[",
    "]",
    "'",
    "\"",
    "|\n",
    ">-\n",
    "#",
    "%YAML 1.2\n",
    "null",
    "~",
    "true",
    "0",
    "-1",
    "99999999999999999999",
    "1e999",
    "\u{feff}",
    "\0",
    "\r",
    "\t",
    "ü",
    "*",
    "{**}",
    "%2f",
    "..",
    "spec:",
    "metadata:",
    "kind: List\nitems:\n",
];

fn edit() -> impl Strategy<Value = Edit> {
    let place = || 0.0..1.0_f64;
    prop_oneof![
        (place(), place()).prop_map(|(from, to)| Edit::Cut(from, to)),
        (place(), place(), place()).prop_map(|(from, to, at)| Edit::Copy(from, to, at)),
        (place(), prop::sample::select(WORDS)).prop_map(|(at, word)| Edit::Insert(at, word)),
        (place(), any::<String>()).prop_map(|(at, noise)| Edit::Noise(at, noise)),
    ]
}

fn apply(text: &str, edit: &Edit) -> String {
    let characters: Vec<char> = text.chars().collect();
    // Truncation to a place in the text is what is wanted.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of a length")]
    let place = |fraction: f64| (fraction * characters.len() as f64) as usize;
    let with = |at: usize, piece: &[char]| [&characters[..at], piece, &characters[at..]].concat();
    let range =
        |from: f64, to: f64| (place(from.min(to)), place(from.max(to)).min(place(from.min(to)) + 200));
    let changed = match edit {
        Edit::Cut(from, to) => {
            let (from, to) = range(*from, *to);
            [&characters[..from], &characters[to..]].concat()
        }
        Edit::Copy(from, to, at) => {
            let (from, to) = range(*from, *to);
            with(place(*at), &characters[from..to])
        }
        Edit::Insert(at, word) => with(place(*at), &word.chars().collect::<Vec<_>>()),
        Edit::Noise(at, noise) => with(place(*at), &noise.chars().collect::<Vec<_>>()),
    };
    changed.into_iter().collect()
}

/// As many cases as there is time for in every run; `PROPTEST_CASES` asks for more.
fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { default } else { ProptestConfig { cases, ..default } }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn any_text_can_be_read(text in any::<String>()) {
        fuzz::yaml(&text);
        fuzz::load_and_change(&text, &text);
    }

    #[test]
    fn any_change_of_a_real_text_can_be_read(
        index in any::<prop::sample::Index>(),
        edits in prop::collection::vec(edit(), 1..6),
    ) {
        let before = index.get(&CORPUS);
        let after = edits.iter().fold(before.clone(), |text, edit| apply(&text, edit));
        fuzz::yaml(&after);
        fuzz::load_and_change(before, &after);
    }
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn the_order_of_files_does_not_matter(
        files in prop::collection::vec(any::<prop::sample::Index>(), 2..8)
            .prop_flat_map(|indexes| {
                let texts = indexes.iter().enumerate();
                let files = texts.map(|(n, index)| (format!("{n}.yaml"), index.get(&CORPUS).clone()));
                let files: Vec<(String, String)> = files.collect();
                (Just(files.clone()), Just(files).prop_shuffle())
            })
    ) {
        let (files, shuffled) = files;
        prop_assert_eq!(outcome(&files), outcome(&shuffled));
    }
}

fn outcome(files: &[(String, String)]) -> String {
    let loaded = load(&documents(files), &options());
    let snapshot = snapshot(&loaded);
    let told: Vec<String> =
        loaded.diagnostics().chain(&analyze(&snapshot)).map(ToString::to_string).collect();
    let contents: Vec<u64> = loaded.parsed.iter().map(|parsed| parsed.content).collect();
    format!("{}{}{contents:?}", dump::snapshot(&snapshot), told.join("\n"))
}
