//! Text charts for psql: one line, block characters, nothing to install.

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A line of one character a value, scaled from the least to the greatest; a missing value is a space.
pub fn sparkline(values: &[Option<f64>]) -> String {
    let known = || values.iter().flatten().copied().filter(|x| x.is_finite());
    let low = known().fold(f64::INFINITY, f64::min);
    let high = known().fold(f64::NEG_INFINITY, f64::max);
    let level = |x: f64| {
        let share = if high > low { (x - low) / (high - low) } else { 0.0 };
        LEVELS[(share * 7.0).round() as usize]
    };
    values.iter().map(|x| x.filter(|x| x.is_finite()).map_or(' ', level)).collect()
}

/// A bar of `value / max` of `width` characters, in eighths of a character.
pub fn bar(value: f64, max: f64, width: usize) -> String {
    let share = value / max;
    if !share.is_finite() || share <= 0.0 {
        return String::new();
    }
    let eighths = (share.min(1.0) * width as f64 * 8.0).round() as usize;
    let mut text = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        text.push(['▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8 - 1]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparklines_scale_and_keep_gaps() {
        assert_eq!(sparkline(&[Some(0.0), None, Some(7.0), Some(3.5), Some(f64::NAN)]), "▁ █▅ ");
        assert_eq!(sparkline(&[Some(2.0), Some(2.0)]), "▁▁");
        assert_eq!(sparkline(&[]), "");
    }

    #[test]
    fn bars_are_exact_to_an_eighth() {
        assert_eq!(bar(50.0, 100.0, 10), "█████");
        assert_eq!(bar(1.0, 80.0, 10), "▏");
        assert_eq!(bar(200.0, 100.0, 3), "███");
        assert_eq!(bar(-1.0, 100.0, 3), "");
        assert_eq!(bar(1.0, 0.0, 3), "");
    }
}
