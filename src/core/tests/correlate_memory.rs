//! The state of log lines by template stays small however many different lines come. In a process of its own, since what is
//! looked at is the process's memory. `LINES=10000000 cargo test -p flagscope-core --release --test correlate_memory` is
//! the long form.

use flagscope_core::correlate::mask;
use flagscope_core::correlate::patterns::Patterns;
use flagscope_core::sketch::Sketch;

/// Most bytes of memory that the process has had (Linux).
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(1024 * line.split_whitespace().nth(1)?.parse::<u64>().ok()?)
}

/// A line of nine words of letters, which no mask makes like another one.
fn line(mut i: u64, text: &mut String) {
    text.clear();
    for _ in 0..9 {
        i = i.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (0..10).for_each(|at| text.push(char::from(b'g' + ((i >> (5 * at + 8)) % 20) as u8)));
        text.push(' ');
    }
}

#[test]
fn millions_of_different_lines_stay_under_2_mb() {
    let lines: u64 = std::env::var("LINES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let (mut text, mut state) = (String::new(), Patterns::default());
    line(1, &mut text);
    assert_eq!(mask::template(&text).split(' ').count(), 9, "{text}");
    let before = peak();
    for i in 0..lines {
        line(i, &mut text);
        state.add(&mask::template(&text), &text, false, (i as i64, i as i64));
    }
    let kept: u64 = state.entries().map(|(_, entry)| entry.total()).sum();
    assert_eq!(kept + state.lost(), lines);
    let (bytes, grown) = (state.encode().len(), peak().zip(before).map(|(after, before)| after - before));
    println!("{lines} lines: {bytes} bytes as a value, the process grew by {grown:?} bytes");
    assert!(bytes < 2_000_000, "{bytes}");
    assert!(grown.is_none_or(|grown| grown < 2_000_000), "{grown:?}");
    // Read as templates it stays as small.
    drop(state.templates());
}
