//! Charts as SVG: a title, two axes, curves with names.

use std::path::Path;

use plotters::prelude::*;
use thiserror::Error;

/// One chart.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    /// Which axes show powers of ten: x, and y.
    pub(super) powers: (bool, bool),
    /// Where the names of the curves stand.
    pub(super) names: Names,
    pub(super) curves: Vec<Curve>,
}

/// A place at the right without curves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Below,
    Above,
    Between,
}

impl Names {
    fn position(self) -> SeriesLabelPosition {
        match self {
            Self::Below => SeriesLabelPosition::LowerRight,
            Self::Above => SeriesLabelPosition::UpperRight,
            Self::Between => SeriesLabelPosition::MiddleRight,
        }
    }
}

/// Points with a name.
pub(super) struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
    joined: bool,
}

impl Curve {
    /// Points that are joined.
    pub(super) fn line(name: &str, points: Vec<(f64, f64)>) -> Curve {
        Curve {
            name: name.to_owned(),
            points,
            joined: true,
        }
    }

    /// Points by themselves.
    pub(super) fn points(name: &str, points: Vec<(f64, f64)>) -> Curve {
        Curve {
            joined: false,
            ..Curve::line(name, points)
        }
    }
}

/// Why a chart is not there.
#[derive(Debug, Error)]
pub(super) enum DrawError {
    /// The file or its directory.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// The drawing itself.
    #[error("{0}")]
    Drawing(String),
}

impl Chart<'_> {
    /// Writes the chart to a file.
    pub(super) fn write(&self, path: &Path) -> Result<(), DrawError> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(DrawError::Drawing)?;
        Ok(std::fs::write(path, svg)?)
    }

    fn draw(&self, svg: &mut String) -> Result<(), String> {
        let failed = |error: &dyn std::error::Error| error.to_string();
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(|error| failed(&error))?;
        let (x, y) = (self.range(|point| point.0), self.range(|point| point.1));
        let mut chart = ChartBuilder::on(&root)
            .caption(self.title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(x, y)
            .map_err(|error| failed(&error))?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&|value| label(*value, self.powers.0))
            .y_label_formatter(&|value| label(*value, self.powers.1))
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(|error| failed(&error))?;
        for (number, curve) in self.curves.iter().enumerate() {
            let colour = Palette99::pick(number).to_rgba();
            let points = curve.points.iter().copied();
            let series = match curve.joined {
                true => chart.draw_series(LineSeries::new(points, colour.stroke_width(2))),
                false => {
                    chart.draw_series(points.map(|point| Circle::new(point, 4, colour.filled())))
                }
            };
            series
                .map_err(|error| failed(&error))?
                .label(&curve.name)
                .legend(move |(x, y)| Circle::new((x + 8, y), 4, colour.filled()));
        }
        chart
            .configure_series_labels()
            .position(self.names.position())
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()
            .map_err(|error| failed(&error))?;
        root.present().map_err(|error| failed(&error))
    }

    /// From the least to the greatest value, with a twentieth more at each end.
    fn range(&self, of: fn(&(f64, f64)) -> f64) -> std::ops::Range<f64> {
        let values = || self.curves.iter().flat_map(|curve| &curve.points).map(of);
        let (least, greatest) = (
            values().fold(f64::INFINITY, f64::min),
            values().fold(f64::NEG_INFINITY, f64::max),
        );
        let more = ((greatest - least) / 20.0).max(1e-9);
        least - more..greatest + more
    }
}

/// A number as people write it; for an axis of powers, ten to that power.
fn label(value: f64, is_power: bool) -> String {
    let value = if is_power { 10f64.powf(value) } else { value };
    let digits = match value.abs() {
        size if size < 0.0005 => 0,
        size if size < 0.1 => 3,
        size if size < 1.0 => 2,
        size if size < 10.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}

/// Pixels.
const SIZE: (u32, u32) = (900, 560);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, is_power, text) in [
            (0.0, false, "0"),
            (10.0, false, "10"),
            (2.5, false, "2.5"),
            (100.0, false, "100"),
            (0.0, true, "1"),
            (-1.0, true, "0.1"),
            (1.5, true, "32"),
            (-1.5, true, "0.032"),
        ] {
            assert_eq!(label(value, is_power), text);
        }
    }
}
