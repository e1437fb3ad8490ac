//! Suggestions of similar names for errors about a flag, a metric or an environment that does not exist.

/// How many names an error lists.
const LISTED: usize = 10;
/// The most bytes of an offending value that an error repeats.
const SHOWN: usize = 100;

/// A value as repeated by an error: whole, or its beginning.
pub fn shown(value: &str) -> String {
    if value.len() <= SHOWN {
        return value.to_owned();
    }
    let end = (0..=SHOWN).rev().find(|&end| value.is_char_boundary(end)).unwrap_or_default();
    format!("{}... ({} bytes)", &value[..end], value.len())
}

/// A hint for an unknown name: the closest names, else some existing ones, else `otherwise`.
pub fn hint(name: &str, known: &[&str], otherwise: &str) -> String {
    let near = nearest(name, known);
    match near.as_slice() {
        [] if known.is_empty() => otherwise.to_owned(),
        [] => listed(known),
        [.., last] => {
            let others: String = near[..near.len() - 1].iter().map(|n| format!("\"{n}\" or ")).collect();
            format!("Did you mean {others}\"{last}\"?")
        }
    }
}

fn listed(known: &[&str]) -> String {
    let mut names: Vec<&str> = known.to_vec();
    names.sort_unstable();
    let text = names.iter().take(LISTED).map(|n| shown(n)).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => format!("Known are: {text}."),
        more => format!("Known are: {text} and {more} more."),
    }
}

/// At most three names that differ from `name` by a third of its letters or less, the closest first. Upper and lower
/// case, and what separates words, do not count.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Vec<&'a str> {
    let name = letters(name);
    let allowed = (name.len() / 3).clamp(1, 8);
    let mut near: Vec<(usize, &str)> =
        known.iter().filter_map(|n| distance(&name, &letters(n), allowed).map(|d| (d, *n))).collect();
    near.sort_unstable();
    let closest = near.first().map_or(0, |n| n.0);
    near.into_iter().take_while(|n| n.0 <= closest + 1).take(3).map(|n| n.1).collect()
}

fn letters(name: &str) -> Vec<char> {
    name.chars().take(256).map(|c| if "_-./:".contains(c) { ' ' } else { c.to_ascii_lowercase() }).collect()
}

/// The optimal string alignment distance: how many letters to insert, delete, replace, or swap with the next one; None
/// beyond `most`.
fn distance(a: &[char], b: &[char], most: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    let (mut before, mut above): (Vec<usize>, Vec<usize>) = (vec![0; b.len() + 1], (0..=b.len()).collect());
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = above[j] + usize::from(x != y);
            row[j + 1] = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *y && *x == b[j - 1] {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        if row.iter().all(|&d| d > most) {
            return None;
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().filter(|&d| d <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first() {
        let known = ["new-checkout", "old-checkout", "theme"];
        assert_eq!(hint("new-chekout", &known, ""), "Did you mean \"new-checkout\"?");
        assert_eq!(hint("New_Checkout", &known, ""), "Did you mean \"new-checkout\"?");
        assert_eq!(hint("nwe-checkout", &known, ""), "Did you mean \"new-checkout\"?");
        assert_eq!(
            hint("checkout", &["checkout a", "checkout b", "x"], ""),
            "Did you mean \"checkout a\" or \"checkout b\"?"
        );
    }

    #[test]
    fn without_a_near_name_the_known_ones_are_listed() {
        assert_eq!(hint("zzz", &["b", "a"], ""), "Known are: a, b.");
        assert_eq!(hint("zzz", &[], "Create it."), "Create it.");
        let many: Vec<String> = (10..30).map(|i| format!("flag {i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(hint("zzz", &many, "").ends_with("flag 19 and 10 more."));
    }

    #[test]
    fn distances_are_those_of_optimal_string_alignment() {
        let between = |a: &str, b: &str| distance(&letters(a), &letters(b), 9);
        for (a, b, want) in
            [("", "", 0), ("", "abc", 3), ("abcd", "acbd", 1), ("kitten", "sitting", 3), ("ca", "abc", 3)]
        {
            assert_eq!(between(a, b), Some(want), "{a} {b}");
            assert_eq!(between(b, a), Some(want), "{b} {a}");
        }
        assert_eq!(distance(&letters("abcdef"), &letters("uvwxyz"), 2), None);
    }

    #[test]
    fn long_values_are_cut_between_letters() {
        assert_eq!(shown("short"), "short");
        let long = "é".repeat(80);
        assert_eq!(shown(&long), format!("{}... (160 bytes)", "é".repeat(50)));
    }
}
