//! The order of functions in a binary: what ran most comes first.

/// The symbols that ran, a line each, out of what `llvm-profdata show --all-functions --counts` prints: for each function its
/// name (behind its unit's where it is local to one), and the counts of its blocks.
pub(super) fn of(shown: &str) -> String {
    let mut ran: Vec<(u64, &str)> = Vec::new();
    let mut name = None;
    for line in shown.lines() {
        match line.trim().strip_prefix("Block counts: [") {
            Some(counts) => {
                let counts = counts.trim_end_matches(']').split(", ").filter_map(|count| count.parse().ok());
                let most = counts.max().unwrap_or(0);
                ran.extend(name.take().filter(|_| most > 0).map(|name| (most, name)));
            }
            None => {
                // Deeper lines tell of the function.
                let begins = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '));
                if let Some(symbol) = begins.and_then(|rest| rest.strip_suffix(':')) {
                    name = symbol.rsplit(';').next();
                }
            }
        }
    }
    // Those with equal counts keep their order, so that the same profile gives the same binary.
    ran.sort_by_key(|(most, _)| std::cmp::Reverse(*most));
    ran.iter().flat_map(|(_, name)| [name, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_most_comes_first() {
        let shown = "Counters:
  unit-cgu.0;_ZN1a17hE:
    Hash: 0x01
    Counters: 2
    Block counts: [3, 1]
  _ZN1b17hE:
    Hash: 0x02
    Counters: 1
    Block counts: [0]
  _ZN1c17hE:
    Hash: 0x03
    Counters: 3
    Block counts: [1, 200, 7]
Instrumentation level: IR
Total functions: 3
";
        assert_eq!(of(shown), "_ZN1c17hE\n_ZN1a17hE\n");
        assert_eq!(of(""), "");
    }
}
