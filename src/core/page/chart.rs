//! Charts over time, as SVG that fits any width.
//!
//! Lines are drawn in an inner `<svg>` of 1000 by 100 units that is stretched to the width of the page; words are placed beside
//! it in percent, so they keep their size. Colours come from the style, and every line has a pattern of its own as well.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::scale::{Scale, time_ticks};
use super::words::{Unit, short, time};

/// Height of the drawing, without the words of the axis below it.
const HEIGHT: f64 = 120.0;
/// Room above the drawing, for marks.
const ABOVE: f64 = 28.0;
/// Points of a line at most; more cannot be seen, and make the page long.
pub const POINTS: usize = 60;
/// Rows of the table below a chart at most.
const ROWS: usize = 12;

/// A chart: one time axis, one axis of values.
pub struct Chart<'a> {
    /// What it shows, for those who do not see it.
    pub title: String,
    /// Its first and last time, in seconds since 1970.
    pub span: (f64, f64),
    /// Its values.
    pub scale: Scale,
    /// How they are told.
    pub unit: Unit<'a>,
    /// Lines, areas and limits, the lowest one first.
    pub layers: Vec<Layer>,
    /// Times that are marked.
    pub marks: &'a [Mark],
}

/// Something that is drawn; `name` is its class in the style.
pub enum Layer {
    /// A line through points, with gaps where there is no value.
    Line { name: &'static str, points: Vec<(f64, Option<f64>)> },
    /// A line of steps, filled down to 0; each point holds until the next one.
    Steps { name: &'static str, points: Vec<(f64, f64)> },
    /// The room between two lines.
    Band { name: &'static str, points: Vec<(f64, f64, f64)> },
    /// A level, with its words.
    Level { name: &'static str, at: f64, words: String },
}

/// A time that is marked in charts.
pub struct Mark {
    /// When.
    pub at: f64,
    /// Its number or words, short.
    pub words: String,
    /// Its class in the style: info, warning or critical.
    pub name: String,
}

/// Every nth of a list, so that at most `most` are left, always with the last one.
pub fn sampled<T: Clone>(list: &[T], most: usize) -> Vec<T> {
    let every = list.len().div_ceil(most.max(1)).max(1);
    let skip = list.len().saturating_sub(1) % every;
    list.iter().skip(skip).step_by(every).cloned().collect()
}

fn percent(place: f64) -> String {
    format!("{}%", (place * 1000.0).round() / 10.0)
}

impl Chart<'_> {
    fn x(&self, at: f64) -> Option<f64> {
        let (since, until) = self.span;
        let place = (at - since) / (until - since);
        (place.is_finite() && (-0.001..=1.001).contains(&place)).then(|| place.clamp(0.0, 1.0))
    }

    /// A point in units of the inner drawing.
    fn point(&self, at: f64, value: f64) -> Option<(f64, f64)> {
        let (x, y) = (self.x(at)?, self.scale.place(value)?);
        Some(((x * 1000.0).round(), ((1.0 - y) * 1000.0).round() / 10.0))
    }

    /// The height of a value in the outer drawing.
    fn y(&self, value: f64) -> Option<f64> {
        Some(ABOVE + ((1.0 - self.scale.place(value)?) * HEIGHT).round())
    }

    /// A line through points.
    fn path(points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        for (place, (x, y)) in points.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = write!(path, "{}{x} {y}", if place == 0 { 'M' } else { 'L' });
        }
        path
    }

    /// A line with gaps. A point between two gaps is no line, and drawn as a dot: what is as good as no length gets the
    /// width of its stroke, which is in pixels.
    fn line(&self, name: &str, points: &[(f64, Option<f64>)]) -> Markup {
        let points: Vec<_> = points.iter().map(|(at, x)| self.point(*at, (*x)?)).collect();
        let (mut lines, mut dots) = (String::new(), String::new());
        for run in points.split(Option::is_none) {
            let run: Vec<_> = run.iter().copied().flatten().collect();
            match run[..] {
                [] => {}
                [_] => dots += &(Self::path(&run) + "h.1"),
                _ => lines += &Self::path(&run),
            }
        }
        html! {
            @if !lines.is_empty() { path class=(name) d=(lines) {} }
            @if !dots.is_empty() { path class={ (name) " dot" } d=(dots) {} }
        }
    }

    fn drawn(&self, layer: &Layer) -> Markup {
        match layer {
            Layer::Line { name, points } => self.line(name, points),
            Layer::Steps { name, points } => {
                let ends = points.iter().skip(1).map(|next| next.0).chain([self.span.1]);
                let corners: Vec<_> = points
                    .iter()
                    .zip(ends)
                    .flat_map(|((at, x), end)| [(*at, *x), (end, *x)])
                    .filter_map(|(at, x)| self.point(at, x))
                    .collect();
                let line = Self::path(&corners);
                html! {
                    @if let (Some(first), Some(last)) = (corners.first(), corners.last()) {
                        path class={ (name) " fill" } d={ (line) "L" (last.0) " 100L" (first.0) " 100Z" } {}
                        path class=(name) d=(line) {}
                    }
                }
            }
            Layer::Band { name, points } => {
                let upper = points.iter().filter_map(|(at, _, high)| self.point(*at, *high));
                let lower = points.iter().rev().filter_map(|(at, low, _)| self.point(*at, *low));
                let path = Self::path(&upper.chain(lower).collect::<Vec<_>>());
                // One interval has no width to fill: a bar.
                let class = if points.len() > 1 { (*name).to_owned() } else { format!("{name} bar") };
                html! { @if !path.is_empty() { path class=(class) d={ (path) "Z" } {} } }
            }
            Layer::Level { .. } => html! {},
        }
    }

    fn level(&self, layer: &Layer) -> Markup {
        let Layer::Level { name, at, words } = layer else { return html! {} };
        html! {
            @if let Some(y) = self.y(*at) {
                line class=(name) x1="0" x2="100%" y1=(y) y2=(y) {}
                // Beside the words of the axis.
                @if !words.is_empty() { text class=(name) x="56" y=(y - 4.0) { (words) } }
            }
        }
    }

    /// The value of each step, where there is room for it.
    fn steps_told(&self, layer: &Layer) -> Markup {
        let Layer::Steps { points, .. } = layer else { return html! {} };
        let ends = points.iter().skip(1).map(|next| next.0).chain([self.span.1]);
        let told =
            points.iter().zip(ends).filter_map(|((at, x), end)| Some((self.x(*at)?, self.x(end)?, *x, self.y(*x)?)));
        html! {
            @for (x, end, value, y) in told {
                @if end - x > 0.12 && value > 0.0 {
                    text.told.middle x=(percent(f64::midpoint(x, end))) y=(y - 4.0) { (self.unit.tell(Some(value))) }
                }
            }
        }
    }

    fn grid(&self) -> Markup {
        let levels: Vec<f64> = self
            .layers
            .iter()
            .filter_map(|layer| if let Layer::Level { at, .. } = layer { self.y(*at) } else { None })
            .collect();
        html! {
            @for (x, y) in self.scale.ticks(4).into_iter().filter_map(|x| Some((x, self.y(x)?))) {
                line.grid x1="0" x2="100%" y1=(y) y2=(y) {}
                // A level has words of its own there.
                @if !levels.iter().any(|level| (level - y).abs() < 12.0) { text x="0" y=(y - 3.0) { (self.unit.tell(Some(x))) } }
            }
            @for (at, words) in time_ticks(self.span.0, self.span.1, 4) {
                @if let Some(x) = self.x(at) {
                    line.tick x1=(percent(x)) x2=(percent(x)) y1=(ABOVE + HEIGHT) y2=(ABOVE + HEIGHT + 4.0) {}
                    text class=(side(x)) x=(percent(x)) y=(ABOVE + HEIGHT + 17.0) { (words) }
                }
            }
        }
    }

    fn marked(&self) -> Markup {
        let mut places: Vec<(f64, &Mark, bool)> = Vec::new();
        // The last ones matter most: words that would cover theirs are left out.
        let mut last = f64::INFINITY;
        for mark in self.marks.iter().rev() {
            let Some(x) = self.x(mark.at) else { continue };
            let has_words = last - x > 0.045;
            last = if has_words { x } else { last };
            places.push((x, mark, has_words));
        }
        html! {
            @for (x, mark, has_words) in places {
                line class={ "mark " (mark.name) } x1=(percent(x)) x2=(percent(x)) y1=(ABOVE - 14.0) y2=(ABOVE + HEIGHT) {}
                @if has_words { text class={ "mark " (mark.name) " " (side(x)) } x=(percent(x)) y=(ABOVE - 17.0) { (mark.words) } }
            }
        }
    }

    /// The drawing.
    pub fn svg(&self) -> Markup {
        html! {
            svg.chart width="100%" height=(ABOVE + HEIGHT + 22.0) role="img" {
                title { (self.title) }
                desc { "From " (time(Some(self.span.0))) " to " (time(Some(self.span.1)))
                    ". The numbers are in the table below it." }
                (self.grid())
                svg width="100%" height=(HEIGHT) y=(ABOVE) viewBox="0 0 1000 100" preserveAspectRatio="none" {
                    @for layer in &self.layers { (self.drawn(layer)) }
                }
                (self.marked())
                @for layer in &self.layers { (self.level(layer)) (self.steps_told(layer)) }
            }
        }
    }
}

fn side(x: f64) -> &'static str {
    match x {
        x if x < 0.06 => "start",
        x if x > 0.94 => "end",
        _ => "middle",
    }
}

/// The numbers of a chart as a table that can be opened: its id in the page, the title of the chart, headings, and rows of
/// which some are shown.
pub fn numbers(id: &str, title: &str, headings: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        @if !rows.is_empty() {
            details.numbers id=(id) {
                summary { "Numbers" }
                div.scroll tabindex="0" role="region" aria-label={ "Numbers: " (title) } {
                    table {
                        thead { tr { @for heading in headings { th scope="col" { (short(heading, 40)) } } } }
                        tbody { @for row in sampled(rows, ROWS) { tr { @for cell in row { td { (cell) } } } } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(layers: Vec<Layer>, scale: Scale) -> String {
        let marks = [Mark { at: 5.0, words: "1".into(), name: "info".into() }];
        let title = "<script>".to_owned();
        Chart { title, span: (0.0, 10.0), scale, unit: Unit::PLAIN, layers, marks: &marks }.svg().into_string()
    }

    #[test]
    fn lines_have_gaps_where_there_is_nothing() {
        let points = vec![
            (0.0, Some(0.0)),
            (2.0, Some(1.0)),
            (4.0, None),
            (5.0, Some(0.5)),
            (6.0, Some(f64::NAN)),
            (8.0, Some(0.5)),
            (10.0, Some(0.5)),
        ];
        let svg = chart(vec![Layer::Line { name: "treatment", points }], Scale::over([0.0, 1.0].into_iter()));
        assert!(svg.contains("class=\"treatment\" d=\"M0 100L200 0M800 50L1000 50\""), "{svg}");
        assert!(svg.contains("class=\"treatment dot\" d=\"M500 50h.1\""), "{svg}");
        assert!(svg.contains("<title>&lt;script&gt;</title>"), "{svg}");
    }

    #[test]
    fn steps_hold_until_the_next_one() {
        let layer = Layer::Steps { name: "ramp", points: vec![(0.0, 10.0), (5.0, 100.0)] };
        let svg = chart(vec![layer], Scale::over([0.0, 100.0].into_iter()));
        assert!(svg.contains("d=\"M0 90L500 90L500 0L1000 0\""), "{svg}");
    }

    #[test]
    fn a_single_interval_is_a_bar() {
        let layers = vec![
            Layer::Band { name: "interval", points: vec![(5.0, 0.25, f64::INFINITY)] },
            Layer::Line { name: "estimate", points: vec![(5.0, Some(0.5))] },
        ];
        let svg = chart(layers, Scale::over([0.0, 1.0].into_iter()));
        assert!(svg.contains("class=\"interval bar\" d=\"M500 0L500 75Z\""), "{svg}");
        assert!(svg.contains("class=\"estimate dot\" d=\"M500 50h.1\""), "{svg}");
    }

    #[test]
    fn nothing_is_drawn_of_no_time() {
        let layer = Layer::Band { name: "interval", points: vec![(0.0, 1.0, 2.0), (1.0, 1.0, 2.0)] };
        let scale = Scale::over(std::iter::empty());
        let chart = Chart {
            title: String::new(),
            span: (7.0, 7.0),
            scale,
            unit: Unit::PLAIN,
            layers: vec![layer],
            marks: &[],
        };
        assert!(!chart.svg().into_string().contains("NaN"));
    }

    #[test]
    fn samples_keep_the_last_one() {
        assert_eq!(sampled(&[1, 2, 3, 4, 5, 6, 7], 3), [1, 4, 7]);
        assert_eq!(sampled(&[1, 2], 3), [1, 2]);
        assert!(sampled::<i32>(&[], 3).is_empty());
    }
}
